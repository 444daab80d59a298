import pytest

from modelplane.adapters.providers.types import HttpRequest, Plan
from modelplane.adapters.shared.rpc.metadata import HOPS
from modelplane.data_plane.errors import TooManyHops
from modelplane.data_plane.upstreams.hops import MAX_HOPS, count_hops, mark_hop
from tests.data_plane.conftest import System
from tests.data_plane.messages import endpoint, endpoint_config, snapshot, token

HELLO = {"messages": [{"role": "user", "content": "hello there"}]}


@pytest.mark.parametrize(
    ("text", "hops"),
    [("", 0), ("0", 0), ("2", 2), ("-9", 0), ("1, 1", 0), ("²", 0), ("9" * 10, 0), ("many", 0)],
)
def test_what_is_no_count_counts_as_none(text: str, hops: int) -> None:
    assert count_hops({HOPS: text}) == hops


def test_a_call_without_a_count_comes_from_a_client() -> None:
    assert count_hops({}) == 0


@pytest.mark.parametrize("hops", [MAX_HOPS, MAX_HOPS + 7])
def test_a_call_that_has_passed_too_many_gateways_is_refused(hops: int) -> None:
    with pytest.raises(TooManyHops, match="calls itself"):
        count_hops({HOPS: str(hops)})


def test_each_request_of_a_plan_is_marked_and_nothing_else_is_changed() -> None:
    headers = {"authorization": "Bearer key", HOPS: "a credential may not take its place"}
    plain = HttpRequest("custom", "http://a/b", headers, b"{}", "PUT")
    marked = Plan((plain, plain), ("n=1",))
    mark_hop(marked, 2)
    assert marked.adapted == ("n=1",)
    for request in marked.requests:
        assert request.headers == {"authorization": "Bearer key", HOPS: "3"}
        assert (request.provider, request.url, request.body, request.method) == (
            "custom",
            "http://a/b",
            b"{}",
            "PUT",
        )
    assert headers[HOPS] == "a credential may not take its place"


@pytest.mark.parametrize("stream", [False, True])
async def test_the_count_goes_on_to_the_provider_until_it_is_too_high(
    system: System, *, stream: bool
) -> None:
    await system.apply(
        snapshot(1, endpoint("chat", endpoint_config(system.entity())), tokens=(token(),))
    )
    body = HELLO | {"stream": stream}
    for given, sent in (({}, "1"), ({"x_modelplane_hops": "2"}, "3")):
        assert (await system.query("chat", body, **given)).status == 200
        assert system.emulator.requests[-1].headers[HOPS] == sent
    refused = await system.query("chat", body, x_modelplane_hops="3")
    assert (refused.status, refused.error_code) == (400, "BAD_REQUEST")
    assert "calls itself" in refused.message
    assert len(system.emulator.requests) == 2
