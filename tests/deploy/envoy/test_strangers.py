"""Who is asked before a body is held, and how many strangers pass."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from modelplane.deploy.envoy import filters
from modelplane.deploy.envoy.filters import SMALL_BODY_BYTES
from modelplane.deploy.envoy.options import Address
from tests.deploy.envoy.envoys import running_envoy, until_health
from tests.deploy.envoy.test_filters import check_error
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENDPOINTS = "/api/2.0/serving-endpoints"
LARGE = b'{"name":"' + b"x" * SMALL_BODY_BYTES + b'"}'


@pytest_asyncio.fixture(loop_scope="module")
async def strangers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a credential, of an Envoy of its own, as this one remembers callers."""
    # So few that even a slow machine sends more.
    monkeypatch.setattr(filters, "STRANGERS_PER_SECOND", 1)
    monkeypatch.setattr(filters, "STRANGERS_AT_ONCE", 4)
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker(Address.of_path(str(tmp_path / "worker.sock"))) as worker,
        running_envoy(tmp_path, control_plane.address, worker.address) as (public, _),
    ):
        await until_health(public, 200)
        url = f"http://{public}"
        async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False) as client:
            yield client


async def test_a_large_body_needs_a_credential(strangers: httpx.AsyncClient) -> None:
    message = check_error(await strangers.post(ENDPOINTS, content=LARGE), 401, "UNAUTHENTICATED")
    assert message == "No access token; send it as 'Authorization: Bearer <token>'."

    async def chunks() -> AsyncIterator[bytes]:
        yield LARGE

    check_error(await strangers.post(ENDPOINTS, content=chunks()), 401, "UNAUTHENTICATED")
    known = {"authorization": "Bearer any"}
    assert (await strangers.post(ENDPOINTS, content=LARGE, headers=known)).status_code == 200


async def test_a_login_is_small(strangers: httpx.AsyncClient) -> None:
    refused = await strangers.post("/oidc/v1/token", content=b"x" * 20_000)
    assert refused.status_code == 400
    assert "16 KiB" in refused.text


async def test_too_many_strangers_leave_the_known_alone(strangers: httpx.AsyncClient) -> None:
    known = {"authorization": "Bearer any"}
    assert (await strangers.get(ENDPOINTS, headers=known)).status_code == 200
    refused = None
    for _ in range(20):
        answer = await strangers.post(ENDPOINTS, content=b"{}")
        if answer.status_code != 200:
            refused = answer
            break
    assert refused is not None
    check_error(refused, 429, "REQUEST_LIMIT_EXCEEDED")
    assert refused.headers["retry-after"] == "1"
    assert (await strangers.get(ENDPOINTS, headers=known)).status_code == 200
