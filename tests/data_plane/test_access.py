"""Who a worker lets in with a JWT, as of which snapshot."""

from random import Random

import pytest
from modelserving.worker.v1 import snapshot_pb2, snapshot_service_pb2
from modelserving.worker.v1.snapshot_pb2 import TokenResource

from modelplane.adapters.shared.jwt.verifier import LEEWAY_SECONDS
from modelplane.adapters.shared.rpc.authorization import digest
from modelplane.data_plane.access import authenticate
from modelplane.data_plane.errors import Unauthenticated
from modelplane.data_plane.snapshots.builder import SnapshotBuilder
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import Snapshot
from tests.adapters.shared.jwt import forgeries
from tests.adapters.shared.jwt.issuers import (
    ISSUER,
    NOW,
    KeyPair,
    all_keys,
    claims,
    issuer_resource,
    key_pair,
)

KEY = key_pair("ES256")


def changed(base: Snapshot, *, empty: bool = False, **delta: object) -> Snapshot:
    builder = SnapshotBuilder(base, Random(1), empty=empty)
    message = snapshot_service_pb2.ConfigDelta(revision=base.revision + 1, **delta)  # type: ignore[arg-type]
    builder.apply(message)
    return builder.build(base.revision + 1, "store")


def alice(valid_from: int = 0) -> snapshot_pb2.PrincipalResource:
    return snapshot_pb2.PrincipalResource(id="7", name="alice", tokens_valid_from=valid_from)


SNAPSHOT = changed(Snapshot(), principals=[alice()], issuers=[issuer_resource()])


def enter(snapshot: Snapshot, token: str, now: float = NOW) -> Principal:
    return authenticate(snapshot, {"authorization": f"Bearer {token}"}, now * 1000)


@pytest.mark.parametrize("key", all_keys(), ids=lambda key: key.algorithm)
def test_a_jwt_stands_for_the_principal_that_it_names(key: KeyPair) -> None:
    assert enter(SNAPSHOT, key.sign(claims())).id == "7"


def test_the_issuer_says_which_claim_holds_the_name() -> None:
    by_mail = issuer_resource(KEY, claim="email")
    snapshot = changed(SNAPSHOT, issuers=[by_mail])
    assert enter(snapshot, KEY.sign(claims(sub="x", email="alice"))).id == "7"
    with pytest.raises(Unauthenticated, match="email"):
        enter(snapshot, KEY.sign(claims()))


def test_no_forged_token_gets_in() -> None:
    random = Random(11)
    tokens = [
        *forgeries.named().values(),
        *forgeries.mutated(random, 1500),
        *forgeries.noise(random, 1500),
    ]
    for token in tokens:
        with pytest.raises(Unauthenticated):
            enter(SNAPSHOT, token)


def test_a_token_ends_at_its_expiry() -> None:
    token = KEY.sign(claims())
    assert enter(SNAPSHOT, token, NOW + 3599)
    with pytest.raises(Unauthenticated, match="expired"):
        enter(SNAPSHOT, token, NOW + 3600 + LEEWAY_SECONDS)


@pytest.mark.parametrize("known", [False, True], ids=["new", "seen"])
def test_a_clock_that_jumps_shuts_nobody_out_for_longer_than_the_jump(*, known: bool) -> None:
    access = TokenResource(
        id="t", digest=digest("dapi-of-alice"), principal_id="7", expiry_ms=(NOW + 3600) * 1000
    )
    snapshot = changed(SNAPSHOT, tokens=[access])
    tokens = (KEY.sign(claims()), "dapi-of-alice")
    for token in tokens:
        if known:
            assert enter(snapshot, token).id == "7"
        with pytest.raises(Unauthenticated, match="expired"):
            enter(snapshot, token, NOW + 7200)
        assert enter(snapshot, token).id == "7"
    # A JWT of the future is not believed; one that was is not doubted.
    if known:
        assert enter(snapshot, tokens[0], NOW - 7200).id == "7"
    else:
        with pytest.raises(Unauthenticated):
            enter(changed(snapshot), KEY.sign(claims(jti="other")), NOW - 7200)
    assert enter(snapshot, tokens[1], NOW - 7200).id == "7"
    assert enter(snapshot, tokens[0]).id == "7"


def test_a_jwt_of_one_who_is_no_principal_or_not_active_is_refused() -> None:
    token = KEY.sign(claims())
    assert enter(SNAPSHOT, token)
    with pytest.raises(Unauthenticated, match="not active"):
        enter(SNAPSHOT, KEY.sign(claims(sub="nobody")))
    gone = changed(SNAPSHOT, removed_principal_ids=["7"])
    with pytest.raises(Unauthenticated, match="not active"):
        enter(gone, token)


def test_tokens_issued_before_the_principal_s_are_valid_are_void() -> None:
    token = KEY.sign(claims())
    assert enter(SNAPSHOT, token)
    revoked = changed(SNAPSHOT, principals=[alice(NOW + 1)])
    with pytest.raises(Unauthenticated, match="revoked"):
        enter(revoked, token)
    assert enter(revoked, KEY.sign(claims(iat=NOW + 1)))


def test_a_key_or_an_issuer_that_goes_voids_its_tokens_at_once() -> None:
    token = KEY.sign(claims())
    assert enter(SNAPSHOT, token)
    rotated = changed(SNAPSHOT, issuers=[issuer_resource(key_pair("ES256", "next"))])
    with pytest.raises(Unauthenticated, match="key"):
        enter(rotated, token)
    assert enter(rotated, key_pair("ES256", "next").sign(claims()))
    removed = changed(SNAPSHOT, removed_issuers=[ISSUER])
    with pytest.raises(Unauthenticated, match="issuer"):
        enter(removed, token)
    resynced = changed(SNAPSHOT, empty=True, principals=[alice()])
    with pytest.raises(Unauthenticated, match="issuer"):
        enter(resynced, token)


def test_what_was_verified_outlives_changes_of_others() -> None:
    token = KEY.sign(claims())
    assert enter(SNAPSHOT, token)
    later = changed(SNAPSHOT, principals=[snapshot_pb2.PrincipalResource(id="8", name="bob")])
    assert later.callers.verifier is SNAPSHOT.callers.verifier
    assert later.callers.issuers[ISSUER] is SNAPSHOT.callers.issuers[ISSUER]
    assert enter(later, token).id == "7"
