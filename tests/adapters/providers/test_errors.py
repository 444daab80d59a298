import pytest

from modelplane.adapters.providers import errors


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (302, errors.MalformedAnswer),
        (400, errors.RequestRefused),
        (401, errors.CredentialRefused),
        (418, errors.RequestRefused),
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
    ("cls", "retryable", "fallback"),
    [
        (errors.RequestRefused, False, False),
        (errors.ModelNotFound, False, True),
        (errors.CredentialRefused, False, True),
        (errors.QuotaExhausted, False, True),
        (errors.RateLimited, True, True),
        (errors.ProviderUnavailable, True, True),
        (errors.ProviderTimeout, True, True),
    ],
)
def test_what_may_be_tried_again(
    cls: type[errors.AdapterError], *, retryable: bool, fallback: bool
) -> None:
    assert (cls.retryable, cls.fallback) == (retryable, fallback)
