import orjson
import pytest

from modelplane.adapters.providers import errors


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, errors.MalformedAnswer),
        (400, errors.RequestRefused),
        (401, errors.CredentialRefused),
        (402, errors.QuotaExhausted),
        (418, errors.RequestRefused),
        (424, errors.UnusableAnswer),
        (429, errors.RateLimited),
        (500, errors.ProviderFailed),
        (501, errors.ProviderFailed),
        (529, errors.ProviderUnavailable),
    ],
)
def test_a_status_decides_the_class(status: int, expected: type[errors.AdapterError]) -> None:
    assert errors.classify(status) is expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.2"}, 1),
        ({"retry-after": "1.2"}, 2),
        ({"retry-after": "-5"}, 1),
        ({"retry-after": "nan"}, 1),
        ({"retry-after": "1e9"}, 3600),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "2500", "retry-after": "9"}, 3),
        ({"x-ms-retry-after-ms": "100"}, 1),
        (
            {
                "retry-after": "Fri, 21 Nov 2025 10:00:30 GMT",
                "date": "Fri, 21 Nov 2025 10:00:00 GMT",
            },
            30,
        ),
        ({"retry-after": "Fri, 21 Nov 2025 10:00:30 GMT"}, None),
    ],
)
def test_the_wait_that_a_provider_asks_for(headers: dict[str, str], expected: int | None) -> None:
    assert errors.parse_retry_after(headers) == expected


def test_an_error_shows_no_detail_by_itself() -> None:
    error = errors.RequestRefused("openai", {"error": "the prompt was: secret"})
    assert "secret" not in str(error) + repr(error)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no sk-1", "no [redacted]"),
        (
            {"error": {"message": "no sk-1, sk-2!"}},
            {"error": {"message": "no [redacted], [redacted]!"}},
        ),
        ({"sk-1": ["sk-1", 1, None]}, {"[redacted]": ["[redacted]", 1, None]}),
        (orjson.loads(b'{"key":"a\\/b"}'), {"key": "[redacted]"}),
        ({"key": 'say "x"'}, {"key": "[redacted]"}),
        ('say "x"', "[redacted]"),
        (12345, "[redacted]"),
        ([], []),
        ("", ""),
    ],
)
def test_what_a_provider_repeats_of_a_secret_is_taken_out(said: object, shown: object) -> None:
    error = errors.ProviderFailed("p", said)
    assert error.conceal(("sk-1", "sk-2", "a/b", 'say "x"', "12345")) is error
    assert error.detail == shown


def test_an_error_that_is_nested_without_end_can_be_told() -> None:
    said: object = "sk-1"
    for _ in range(1000):
        said = [said]
    error = errors.ProviderFailed("p", said).conceal(("sk-1",))
    assert error.detail == "the provider's error is nested too deeply"


def rows() -> dict[str, list[str]]:
    """Return the table at the head of the module, by class."""
    lines = [line for line in (errors.__doc__ or "").splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {name.split("`")[1]: answers for name, _, *answers in cells}


def test_the_table_lists_every_error() -> None:
    found = [
        name
        for name, cls in vars(errors).items()
        if isinstance(cls, type) and issubclass(cls, errors.AdapterError)
    ]
    assert sorted(rows()) == sorted(set(found) - {"AdapterError"})


@pytest.mark.parametrize(("name", "answers"), rows().items())
def test_the_table_is_what_is_done(name: str, answers: list[str]) -> None:
    cls = getattr(errors, name)
    again, other, circuit, billed = (answer != "no" for answer in answers)
    assert (cls.retryable, cls.fallback, cls.outage, cls.billed) == (again, other, circuit, billed)
    # What is billed is tried again once at most, what is an outage more often.
    assert (answers[0] == "once") is (cls.retryable and cls.billed)
