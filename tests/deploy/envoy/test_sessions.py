"""A cookie is a token for the deployment's own pages, and nothing for anybody else."""

from collections.abc import AsyncIterator, Mapping

import httpx
import pytest
import pytest_asyncio

from tests.deploy.envoy.conftest import AS_IT_IS, WAYS, Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONTROL_PLANE = "/api/2.0/serving-endpoints"
COOKIE = {"cookie": "other=1; modelplane=dapi1; more=2"}
OWN_PAGE = {"x-ui-session": "1", "sec-fetch-site": "same-origin"}
CALL = COOKIE | OWN_PAGE
BODY: dict[str, object] = {"messages": []}


@pytest_asyncio.fixture(loop_scope="module")
async def page(gateway: Gateway) -> AsyncIterator[httpx.AsyncClient]:
    """A client that has no token of its own."""
    async with httpx.AsyncClient(base_url=gateway.url, timeout=120, trust_env=False) as client:
        yield client


def seen(gateway: Gateway, *, worker: bool) -> Mapping[str, str]:
    """Return what the plane was told last, which is never a cookie."""
    plane = gateway.worker if worker else gateway.control_plane.endpoints
    metadata, plane.metadata = plane.metadata, {}
    assert metadata
    assert "cookie" not in metadata
    assert "x-ui-session" not in metadata
    return metadata


async def test_the_planes_see_the_call_of_a_script(
    gateway: Gateway, page: httpx.AsyncClient
) -> None:
    answer = await page.get(CONTROL_PLANE, headers=CALL)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert seen(gateway, worker=False)["authorization"] == "Bearer dapi1"


@pytest.mark.parametrize("encoding", ["br", "gzip"])
async def test_answers_to_a_session_are_compressed_and_those_to_a_script_are_not(
    page: httpx.AsyncClient, encoding: str
) -> None:
    body = {"name": "a", "description": "the same again and again " * 100}
    accepts = {"accept-encoding": encoding}
    answers = [
        await page.post(CONTROL_PLANE, json=body, headers=headers | accepts)
        for headers in (CALL, {"authorization": "Bearer dapi1"})
    ]
    encodings = [answer.headers.get("content-encoding") for answer in answers]
    assert encodings == [encoding, None]
    assert answers[0].num_bytes_downloaded < answers[1].num_bytes_downloaded / 10
    # The client has no Brotli.
    assert encoding == "br" or answers[0].json() == answers[1].json()


@WAYS
async def test_a_query_comes_to_a_worker(
    gateway: Gateway, page: httpx.AsyncClient, path: str
) -> None:
    answer = await page.post(path, json=BODY, headers=CALL)
    assert answer.status_code == 200
    assert seen(gateway, worker=True)["authorization"] == "Bearer dapi1"
    assert answer.json() == (await gateway.query(BODY, path)).json()


async def test_a_stream_comes_in_parts(gateway: Gateway, page: httpx.AsyncClient) -> None:
    headers = CALL | {"accept-encoding": "br, gzip"}
    async with page.stream("POST", AS_IT_IS, json={"mode": "stream"}, headers=headers) as answer:
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        # How long a part is would tell of what it says beside what others have put into it.
        assert "content-encoding" not in answer.headers
        parts = answer.aiter_raw()
        # The toy makes the next part only after this one has arrived here.
        for index in range(3):
            assert await anext(parts) == f"data: {index}\n\n".encode()
            gateway.worker.go_on.set()
        assert [part async for part in parts] == []
    assert seen(gateway, worker=True)["authorization"] == "Bearer dapi1"


@pytest.mark.parametrize(
    "headers",
    [
        COOKIE,
        OWN_PAGE,
        COOKIE | {"x-ui-session": "1"},
        COOKIE | {"x-ui-session": "2", "sec-fetch-site": "same-origin"},
        *(
            COOKIE | {"x-ui-session": "1", "sec-fetch-site": site}
            for site in ("cross-site", "same-site", "none")
        ),
        OWN_PAGE | {"cookie": "modelplane="},
        OWN_PAGE | {"cookie": "modelplane=dapi1 x"},
        OWN_PAGE | {"cookie": "xmodelplane=dapi1"},
        # A cookie that came without TLS from who knows where.
        CALL | {"host": "models.example.com"},
        CALL | {"host": "127.0.0.1.example.com"},
    ],
)
async def test_nothing_less_is_a_session(
    gateway: Gateway, page: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await page.get(CONTROL_PLANE, headers=headers)).status_code == 401
    assert not gateway.control_plane.endpoints.metadata


async def test_a_token_of_its_own_counts_before_the_cookie(
    gateway: Gateway, page: httpx.AsyncClient
) -> None:
    await page.get(CONTROL_PLANE, headers=CALL | {"authorization": "Bearer own"})
    assert seen(gateway, worker=False)["authorization"] == "Bearer own"


async def test_over_tls_the_cookie_of_the_host_itself_counts(
    gateway: Gateway, page: httpx.AsyncClient
) -> None:
    both = {"cookie": "modelplane=dapi1; __Host-modelplane=dapi2", "host": "models.example.com"}
    await page.get(CONTROL_PLANE, headers=OWN_PAGE | both)
    assert seen(gateway, worker=False)["authorization"] == "Bearer dapi2"


@pytest.mark.parametrize("path", ["/ui/", "/oidc/v1/token", "/health"])
async def test_no_other_path_knows_sessions(page: httpx.AsyncClient, path: str) -> None:
    with_session = await page.get(path, headers=CALL)
    assert with_session.status_code == (await page.get(path)).status_code


async def test_a_large_body_needs_a_session(page: httpx.AsyncClient) -> None:
    large = b'{"name":"' + b"x" * 70_000 + b'"}'
    refused = await page.post(CONTROL_PLANE, content=large, headers=OWN_PAGE)
    assert refused.status_code == 401
    assert (await page.post(CONTROL_PLANE, content=large, headers=CALL)).status_code == 200
