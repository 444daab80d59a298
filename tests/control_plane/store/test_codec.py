from modelplane.control_plane.principal import Level, Permission
from modelplane.control_plane.store.codec import decode_levels, encode_levels


def test_levels_are_the_same_after_a_round_trip() -> None:
    grants = {"123": Level.CAN_QUERY, "1": Level.CAN_MANAGE}
    assert decode_levels(encode_levels(grants), Level) == grants
    acl = {"123": Permission.READ}
    assert decode_levels(encode_levels(acl), Permission) == acl
    assert decode_levels("{}", Level) == {}
