"""What of a request of the Gemini API Vertex AI does not take as it is."""

import pytest

from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.fitting import fit_body
from modelplane.adapters.providers.types import JsonObject

CALL = {"name": "look", "args": {"id": 7}}


def body(**own: str) -> JsonObject:
    return {
        "contents": [
            {"parts": [{"text": "hi"}, 3]},
            {"role": "model", "parts": [{"functionCall": CALL | own, "thoughtSignature": "s"}]},
            {"role": "user", "parts": [{"function_response": {"name": "look"} | own}]},
            "none",
        ],
        "tools": [],
    }


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-pro", "1234567890"])
def test_earlier_models_know_no_ids_of_calls(model: str) -> None:
    fitted, adapted = fit_body(body(id="c1"), model)
    expected = body()
    expected["contents"][0] = {"role": "user", **expected["contents"][0]}
    assert fitted == expected
    assert adapted == ("id of function calls=dropped",)
    assert fit_body(body(), model)[1] == ()


def test_later_models_get_them_back() -> None:
    fitted, adapted = fit_body(body(id="c1"), "gemini-3-pro-preview")
    assert fitted["contents"][1:] == body(id="c1")["contents"][1:]
    assert adapted == ()


@pytest.mark.parametrize("contents", [None, "text", []])
def test_what_has_no_contents_stays(contents: object) -> None:
    assert fit_body({"contents": contents}, "gemini-pro") == ({"contents": contents}, ())
