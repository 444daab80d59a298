import pytest
from modelserving.v1.endpoint_pb2 import ServingEndpoint
from modelserving.v1.endpoint_service_pb2 import ListServingEndpointsRequest

from modelplane.control_plane.endpoints import pages
from modelplane.control_plane.endpoints.pages import MAX_ANSWER_BYTES, Page, limit_of
from modelplane.control_plane.errors import InvalidParameter


def fill(limit: int | None, *names: str) -> Page[ServingEndpoint]:
    page = Page[ServingEndpoint](limit, lambda last: last.name)
    for name in names:
        if not page.add(ServingEndpoint(name=name)):
            break
    return page


def test_a_page_ends_at_its_limit_and_names_the_next() -> None:
    page = fill(2, "a", "b", "c")
    assert [item.name for item in page.items] == ["a", "b"]
    assert page.next_token == "b"
    assert fill(2, "a", "b").next_token is None
    assert fill(None, "a", "b", "c").next_token is None


def test_a_page_ends_where_an_answer_would_be_too_long() -> None:
    half = "x" * (MAX_ANSWER_BYTES // 2)
    page = fill(1000, half + "1", half + "2", "c")
    assert len(page.items) == 1
    assert page.next_token == half + "1"
    # One by itself is shown whatever it has.
    assert len(fill(1000, half * 3).items) == 1


def test_a_list_that_is_too_long_to_come_whole_says_how_to_read_it() -> None:
    half = "x" * (MAX_ANSWER_BYTES // 2)
    with pytest.raises(InvalidParameter, match="in pages with 'max_results' and 'page_token'"):
        fill(None, half + "1", half + "2")


@pytest.mark.parametrize("wrong", [-1, pages.MAX_RESULTS + 1])
def test_a_limit_is_within_bounds(wrong: int) -> None:
    with pytest.raises(InvalidParameter, match="from 1 to 1000"):
        limit_of(ListServingEndpointsRequest(max_results=wrong))


def test_who_asks_for_a_next_page_gets_one() -> None:
    assert limit_of(ListServingEndpointsRequest()) is None
    assert limit_of(ListServingEndpointsRequest(page_token="a")) == pages.MAX_RESULTS
    assert limit_of(ListServingEndpointsRequest(max_results=7)) == 7
