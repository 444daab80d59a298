import pytest

from modelplane.adapters.providers.canonical.error_texts import ErrorText, read_error


@pytest.mark.parametrize(
    ("detail", "text"),
    [
        ("busy", ErrorText("busy")),
        (
            {"error": {"message": "no", "code": "c", "param": "p"}},
            ErrorText("no", "c", "p"),
        ),
        ({"error": {"message": "no", "code": 400, "param": None}}, ErrorText("no")),
        ([{"error": {"message": "no"}}], ErrorText("no")),
        ({"error": "no"}, ErrorText("no")),
        ({"message": "no", "code": "c"}, ErrorText("no", "c")),
        ({"Message": "no"}, ErrorText("no")),
        ({"detail": "no"}, ErrorText("no")),
        ({"detail": [{"loc": ["body"]}]}, ErrorText('{"detail":[{"loc":["body"]}]}')),
        ({"error": 1}, ErrorText('{"error":1}')),
        ([], ErrorText("[]")),
    ],
)
def test_what_an_error_says(detail: object, text: ErrorText) -> None:
    assert read_error(detail) == text


def test_what_nests_without_end_says_so() -> None:
    deep: list[object] = []
    for _ in range(2000):
        deep = [deep]
    assert "nested too deeply" in read_error({"x": deep}).message
