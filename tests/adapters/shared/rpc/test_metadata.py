import pytest

from modelplane.adapters.shared.rpc.metadata import request_id_of


@pytest.mark.parametrize("given_id", ["", " ", "a b", "x" * 129, "ü"])
def test_an_unfit_request_id_is_replaced(given_id: str) -> None:
    metadata = {"x-request-id": given_id}
    first = request_id_of(metadata)
    second = request_id_of(metadata)
    assert first
    assert first not in (given_id, second)


@pytest.mark.parametrize("given_id", ["r-1", "x" * 128, "!~"])
def test_a_fit_request_id_is_the_callers(given_id: str) -> None:
    assert request_id_of({"x-request-id": given_id}) == given_id
