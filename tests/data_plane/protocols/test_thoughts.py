"""Thoughts that travel through clients come back as they were, in either alphabet of base64."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.data_plane.protocols.base import Losses
from modelplane.data_plane.protocols.gemini.contents import read_contents
from modelplane.data_plane.protocols.thoughts import seal, unseal

BLOCKS = st.fixed_dictionaries(
    {"type": st.just("thinking"), "thinking": st.text(), "signature": st.text()}
)


@given(st.lists(BLOCKS, max_size=3))
def test_thoughts_come_back(blocks: list[dict[str, object]]) -> None:
    sealed = seal(blocks)
    # As Google's SDKs send bytes on.
    again = base64.urlsafe_b64encode(base64.b64decode(sealed)).decode()
    assert unseal(sealed) == unseal(again) == unseal(again.rstrip("=")) == blocks


@pytest.mark.parametrize("text", [None, 7, "", "no base64!", "bW9kZWxwbGFuZS4x", "a"])
def test_what_is_none_is_none(text: object) -> None:
    assert unseal(text) == []


@given(st.binary(min_size=1))
def test_an_image_is_in_the_usual_alphabet(image: bytes) -> None:
    data = base64.urlsafe_b64encode(image).decode().rstrip("=")
    part = {"inline_data": {"mime_type": "image/png", "data": data}}
    [message] = read_contents([{"role": "user", "parts": [part]}], Losses())
    assert message["content"] == [
        {
            "type": "image_url",
            "image_url": {"url": f"data:image/png;base64,{base64.b64encode(image).decode()}"},
        }
    ]
