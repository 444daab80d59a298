"""What `MLmodel` files say, those included that nobody's MLflow has written."""

import pytest

from modelplane.adapters.registries.base import ModelUnusable
from modelplane.adapters.registries.mlmodel import parse_mlmodel

HEAD = b"flavors:\n  python_function: {streamable: true}\n"


def test_numbers_and_truths_are_read() -> None:
    description = parse_mlmodel(HEAD + b"model_size_bytes: 1024\nmlflow_version: 3.1\n").description
    assert description.streamable
    assert description.size_bytes == 1024
    assert description.mlflow_version == "3.1"


@pytest.mark.parametrize("size", [b"true", b"-1", b"1.5", b"[1]", b"9" * 100, b"~"])
def test_a_size_that_is_none(size: bytes) -> None:
    assert parse_mlmodel(HEAD + b"model_size_bytes: " + size).description.size_bytes == 0


@pytest.mark.parametrize("value", [b"1" + b":1" * 400_000, b"2001-99-99", b"0x" + b"f" * 500_000])
def test_what_nobody_asks_for_is_not_made_into_a_value(value: bytes) -> None:
    """Some numbers take minutes, in which the control plane would do nothing else."""
    assert parse_mlmodel(HEAD + b"x: " + value).is_python_function


@pytest.mark.parametrize("value", [b"[" * 900_000, b"*nowhere", b"\xff", b"? [1]\n: 1"])
def test_what_is_no_yaml(value: bytes) -> None:
    with pytest.raises(ModelUnusable, match="cannot be read"):
        parse_mlmodel(HEAD + b"x: " + value)


@pytest.mark.parametrize(
    ("said", "family"),
    [
        (b"gte-large", "gte"),
        (b"BGE-large", "bge"),
        (b"llama", "llama"),
        (b"'-'", ""),
        (b"[gte]", ""),
        (b"a" * 500, "a" * 32),
    ],
)
def test_the_family_that_it_was_logged_as(said: bytes, family: str) -> None:
    content = HEAD + b"metadata:\n  model_type: " + said
    assert parse_mlmodel(content).description.family == family
