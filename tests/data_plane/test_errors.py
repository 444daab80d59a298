import json

import pytest

from modelplane.adapters.providers import errors as provider_errors
from modelplane.adapters.shared.rpc.status import shorten
from modelplane.data_plane import errors
from modelplane.data_plane.errors import STATUS_TABLE, refusal_of


def subclasses(base: type[Exception]) -> list[type[Exception]]:
    return [found for child in base.__subclasses__() for found in (child, *subclasses(child))]


@pytest.mark.parametrize("cls", subclasses(errors.DataPlaneError))
def test_each_error_of_ours_has_a_status(cls: type[Exception]) -> None:
    assert STATUS_TABLE.status_of(cls.__new__(cls)) is not None


@pytest.mark.parametrize("cls", subclasses(provider_errors.AdapterError))
def test_each_error_of_a_provider_has_a_status_and_names_it(
    cls: type[provider_errors.AdapterError],
) -> None:
    refusal = refusal_of(cls("openai", {"error": 1}), "req")
    if cls is provider_errors.CredentialRefused:
        assert "Provider 'openai' refused the credential of this endpoint" in refusal.message
    else:
        assert json.loads(refusal.message) == {
            "external_model_provider": "openai",
            "external_model_error": {"error": 1},
        }
    assert (refusal.retry_after == 1) is (refusal.status.http in (429, 503))


def test_an_error_is_told_in_the_form_of_openai_too() -> None:
    own = refusal_of(errors.InvalidParameter("'messages' is required."), "req")
    assert own.error() == {
        "message": "'messages' is required.",
        "type": "invalid_request_error",
        "code": "INVALID_PARAMETER_VALUE",
        "param": None,
    }


def test_a_bug_shows_only_the_request() -> None:
    refusal = refusal_of(ValueError("secret prompt"), "req-7")
    assert refusal.status.http == 500
    assert "req-7" in refusal.message
    assert "secret" not in refusal.message
    assert "Unexpected error" not in refusal.message


def test_the_wait_of_the_provider_wins() -> None:
    assert refusal_of(provider_errors.RateLimited("openai", "slow", 9), "req").retry_after == 9


@pytest.mark.parametrize("detail", ["é" * 9000, {"error": {"message": "%" * 9000}}, ["\n"] * 9000])
def test_whatever_a_provider_says_fits_and_stays_json(detail: object) -> None:
    message = refusal_of(provider_errors.RequestRefused("openai", detail), "req").message
    assert shorten(message) == message
    assert json.loads(message)["external_model_error"].endswith("…")


def test_an_unknown_endpoint_is_told_in_the_words_clients_know() -> None:
    assert str(errors.EndpointNotFound()) == (
        "The given endpoint does not exist, please retry after checking the specified model and "
        "version deployment exists."
    )
