import pytest

from modelplane.adapters.providers.errors import RequestRefused
from modelplane.adapters.providers.parameters import Parameters
from modelplane.adapters.providers.types import JsonObject, Query


def read(**body: object) -> Parameters:
    return Parameters("foo", Query(body, stream=False))


def test_null_and_what_the_gateway_decides_are_left_out() -> None:
    body: JsonObject = {"model": "m", "stream": True, "stream_options": {}, "a": None, "b": 0}
    assert Parameters("foo", Query(body, stream=True)).rest == {"b": 0}
    assert len(body) == 5


def test_a_name_of_the_providers_own_wins() -> None:
    parameters = read(top_k=1, k=2, stop="x", ends=["y"])
    parameters.rename("top_k", "k")
    parameters.rename("absent", "own")
    parameters.rename_stop("ends")
    assert parameters.rest == {"k": 2, "ends": ["y"]}


@pytest.mark.parametrize(
    ("stop", "expected"), [("x", ["x"]), (["x", "", "y"], ["x", "y"]), ("", None), ([], None)]
)
def test_stops_become_a_list(stop: object, expected: object) -> None:
    parameters = read(stop=stop)
    parameters.rename_stop("ends")
    assert parameters.rest.get("ends") == expected
    assert "stop" not in parameters.rest


def test_what_is_dropped_is_told_once() -> None:
    parameters = read(user="me", seed=0)
    parameters.drop("user", "seed", "metadata")
    parameters.note("user=dropped")
    assert parameters.adapted == ("user=dropped", "seed=dropped")
    assert parameters.rest == {}


@pytest.mark.parametrize(
    ("value", "expected", "adapted"),
    [
        (1, 0.99, ("p=clamped",)),
        (0, 0.01, ("p=clamped",)),
        (0.5, 0.5, ()),
        # No share at all: the provider is to say so.
        (7, 7, ()),
        (-1, -1, ()),
        ("1", "1", ()),
        (True, True, ()),
    ],
)
def test_only_a_share_is_clamped(value: object, expected: object, adapted: object) -> None:
    parameters = read(p=value)
    parameters.clamp("p", 0.01, 0.99)
    assert (parameters.rest["p"], parameters.adapted) == (expected, adapted)


@pytest.mark.parametrize("value", [[1], ["a", 1], [], {}, 3, None, [["a"]]])
def test_what_holds_no_texts_is_refused(value: object) -> None:
    with pytest.raises(RequestRefused) as caught:
        read(prompt=value).take_texts("prompt")
    assert "'prompt'" in str(caught.value.detail)


@pytest.mark.parametrize("value", ["x", ["x"], {}, 3])
def test_what_holds_no_objects_is_refused(value: object) -> None:
    with pytest.raises(RequestRefused) as caught:
        read(tools=value).take_objects("tools")
    assert "'tools'" in str(caught.value.detail)
    assert read(tools=None).take_objects("tools") == []
