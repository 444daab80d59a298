from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.endpoint_pb2 import EndpointTag

from modelplane.control_plane.store.usage.tags import decode_tags, encode_tags, find_texts

TAGS = [EndpointTag(key="team", value='"a", b'), EndpointTag(key="bare")]


def column(*tags: EndpointTag) -> str:
    return encode_tags(EndpointSettings(tags=tags).SerializeToString())


def has(key: str, value: str | None) -> bool:
    return any(text in column(*TAGS) for text in find_texts(key, value))


def test_tags_are_read_as_they_were_written() -> None:
    assert decode_tags(column(*TAGS)) == {"team": '"a", b', "bare": ""}
    assert decode_tags(column()) == {}


def test_the_column_has_the_texts_of_its_tags_and_no_others() -> None:
    assert has("team", None)
    assert has("team", '"a", b')
    assert has("bare", None)
    assert has("bare", "")
    assert not has("team", "b")
    assert not has("team", "")
    assert not has("tea", None)
    assert not has("a", None)
