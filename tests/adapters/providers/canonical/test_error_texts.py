import pytest

from modelplane.adapters.providers.canonical.error_texts import read_error


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        ("busy", "busy"),
        ({"error": {"message": "no", "type": "t", "code": "c", "param": "p"}}, "no"),
        ([{"error": {"message": "no"}}], "no"),
        ({"error": "no"}, "no"),
        ({"message": "no", "code": "c"}, "no"),
        ({"Message": "no"}, "no"),
        ({"detail": "no"}, "no"),
        ({"detail": [{"loc": ["body"]}]}, '{"detail":[{"loc":["body"]}]}'),
        ({"error": 1}, '{"error":1}'),
        ([], "[]"),
    ],
)
def test_what_an_error_says(detail: object, text: str) -> None:
    assert read_error(detail) == text


def test_what_nests_without_end_says_so() -> None:
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    assert "nested too deeply" in read_error({"x": deep})
