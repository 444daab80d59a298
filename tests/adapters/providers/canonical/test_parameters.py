import pytest

from modelplane.adapters.providers.canonical.parameters import Parameters
from modelplane.adapters.providers.errors import RequestRefused
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
        (1, 0.99, ("top_p=clamped",)),
        (0, 0.01, ("top_p=clamped",)),
        (0.5, 0.5, ()),
        # No number at all: the provider is to say so.
        ("1", "1", ()),
        (True, True, ()),
    ],
)
def test_what_openai_allows_is_moved(value: object, expected: object, adapted: object) -> None:
    parameters = read(top_p=value)
    parameters.fit({"top_p": (0.01, 0.99)})
    assert (parameters.rest["top_p"], parameters.adapted) == (expected, adapted)


@pytest.mark.parametrize(("name", "value"), [("top_p", 7), ("temperature", -1), ("n", 9)])
def test_what_nobody_allows_is_refused(name: str, value: object) -> None:
    with pytest.raises(RequestRefused) as caught:
        read(**{name: value}).fit({"top_p": (0, 1), "temperature": (0, 1), "n": (1, 8)})
    assert f"'{name}' must be between" in str(caught.value.detail)


def test_a_provider_takes_only_so_many_stops() -> None:
    read(stop=["a", "b"]).rename_stop("s", 2)
    with pytest.raises(RequestRefused) as caught:
        read(stop=["a", "b", "c"]).rename_stop("s", 2)
    assert "'stop' may hold 2 texts" in str(caught.value.detail)


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
