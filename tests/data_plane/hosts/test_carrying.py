import pytest

from modelplane.data_plane.hosts.carrying import request_id_of


@pytest.mark.parametrize("given_id", ["", " ", "a b", "x" * 129, "ü"])
def test_an_unfit_request_id_is_replaced(given_id: str) -> None:
    metadata = {"x-request-id": given_id}
    first = request_id_of(metadata)
    second = request_id_of(metadata)
    assert first
    assert first not in (given_id, second)
