"""What of a request of the Gemini API Vertex AI does not take as it is."""

import pytest

from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.fitting import fit_body
from modelplane.adapters.providers.types import JsonObject

USER = {"role": "user", "parts": [{"text": "hi"}, 3]}
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


def contents_of(body: JsonObject) -> list[object]:
    contents = body["contents"]
    assert isinstance(contents, list)
    return contents


@pytest.mark.parametrize("model", ["gemini-2.5-flash", "gemini-pro", "1234567890"])
def test_earlier_models_know_no_ids_of_calls(model: str) -> None:
    fitted, adapted = fit_body(body(id="c1"), model)
    assert fitted == body() | {"contents": [USER, *contents_of(body())[1:]]}
    assert adapted == ("id of function calls=dropped",)
    assert fit_body(body(), model)[1] == ()


def test_later_models_get_them_back() -> None:
    fitted, adapted = fit_body(body(id="c1"), "gemini-3-pro-preview")
    assert contents_of(fitted)[1:] == contents_of(body(id="c1"))[1:]
    assert adapted == ()


@pytest.mark.parametrize("contents", [None, "text", []])
def test_what_has_no_contents_stays(contents: object) -> None:
    assert fit_body({"contents": contents}, "gemini-pro") == ({"contents": contents}, ())
