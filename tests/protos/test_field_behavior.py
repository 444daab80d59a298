"""What a public field's comment says of its life is what its annotation says, and the reverse."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto, FileDescriptorSet

ROOT = Path(__file__).parent.parent.parent
_WORDS = {
    "Required": "REQUIRED",
    "Output only": "OUTPUT_ONLY",
    "Input only": "INPUT_ONLY",
    "Immutable": "IMMUTABLE",
}
_MESSAGES, _FIELDS, _NESTED = 4, 2, 3

Path_ = tuple[int, ...]


def _files() -> list[FileDescriptorProto]:
    content = (ROOT / "protos" / "gen" / "modelserving.binpb").read_bytes()
    files = FileDescriptorSet.FromString(content).file
    return [file for file in files if file.name.startswith("modelserving/v1/")]


def _fields(message: DescriptorProto, path: Path_) -> Iterator[tuple[str, list[str], Path_]]:
    """Yield name, annotations and place of each field of a message."""
    for number, field in enumerate(message.field):
        behavior = field.options.Extensions[field_behavior]
        names = [FieldBehavior.Name(item) for item in behavior]
        yield f"{message.name}.{field.name}", names, (*path, _FIELDS, number)
    for number, nested in enumerate(message.nested_type):
        if not nested.options.map_entry:
            yield from _fields(nested, (*path, _NESTED, number))


def _said(comment: str) -> list[str]:
    """Return the annotations that a comment begins with."""
    found, rest = [], comment.strip()
    while begin := re.match(rf"({'|'.join(_WORDS)})\.\s*", rest):
        found.append(_WORDS[begin[1]])
        rest = rest[begin.end() :]
    return found


def _all_fields() -> Iterator[tuple[str, list[str], str]]:
    """Yield name, annotations and comment of each public field."""
    for file in _files():
        comments = {
            tuple(place.path): place.leading_comments for place in file.source_code_info.location
        }
        for number, message in enumerate(file.message_type):
            for name, behavior, path in _fields(message, (_MESSAGES, number)):
                yield name, behavior, comments[path]


FIELDS = {name: (behavior, comment) for name, behavior, comment in _all_fields()}


def test_comments_and_annotations_agree() -> None:
    assert {
        name: (behavior, comment)
        for name, (behavior, comment) in FIELDS.items()
        if behavior != _said(comment)
    } == {}


def test_no_comment_says_it_in_other_words() -> None:
    other = re.compile(r"^(required|output[ -]only|input[ -]only|immutable)\b", re.IGNORECASE)
    assert [
        name
        for name, (behavior, comment) in FIELDS.items()
        if not behavior and other.match(comment.strip())
    ] == []


@pytest.mark.parametrize("word", _WORDS.values())
def test_there_are_fields_of_each_kind(word: str) -> None:
    assert sum(word in behavior for behavior, _ in FIELDS.values()) > 1
    assert len(FIELDS) > 700


def test_what_is_given_in_plaintext_is_input_only() -> None:
    plaintexts = [name for name in FIELDS if name.endswith("_plaintext")]
    assert len(plaintexts) > 10
    assert [name for name in plaintexts if FIELDS[name][0] != ["INPUT_ONLY"]] == []
