"""Which web pages may call: none, unless their origin is named."""

from pathlib import Path

import httpx
import pytest

from modelplane.deploy.envoy.options import Address, parse_origins
from tests.deploy.envoy.conftest import AS_IT_IS, Gateway
from tests.deploy.envoy.envoys import running_envoy, until_health
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker

APP = "https://app.example.com"
QUERIES = ["/serving-endpoints/chat/completions", AS_IT_IS, "/api/2.0/serving-endpoints"]


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type,x-stainless-lang",
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_without_origins_no_page_may_call(gateway: Gateway) -> None:
    for path in QUERIES:
        answer = await gateway.rest.request("OPTIONS", path, headers=preflight(APP))
        assert answer.status_code == 404
        assert not [name for name in answer.headers if name.startswith("access-control")]
    answer = await gateway.query({}, AS_IT_IS, headers={"origin": APP})
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        (APP, APP, True),
        (f"http://localhost:3000,{APP}", APP, True),
        (APP, "https://app.example.com.evil.net", False),
        (APP, "http://app.example.com", False),
        ("*", "https://anything.example", True),
    ],
)
async def test_only_pages_of_named_origins_may_call(
    tmp_path: Path, origins: str, origin: str, *, allowed: bool
) -> None:
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker(Address.of_path(str(tmp_path / "worker.sock"))) as worker,
        running_envoy(
            tmp_path,
            control_plane.address,
            worker.address,
            cors_origins=parse_origins(origins),
        ) as (public, _),
        httpx.AsyncClient(base_url=f"http://{public}", trust_env=False) as rest,
    ):
        await until_health(public, 200)
        for path in QUERIES:
            answer = await rest.request("OPTIONS", path, headers=preflight(origin))
            assert (answer.status_code == 200) is allowed
            assert answer.headers.get("access-control-allow-origin") == (
                origin if allowed else None
            )
            if allowed:
                assert "authorization" in answer.headers["access-control-allow-headers"]
        answer = await rest.post(AS_IT_IS, json={}, headers={"origin": origin})
        assert answer.status_code == 200
        assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
        refused = await rest.post("/serving-endpoints/nope", headers={"origin": origin})
        assert refused.status_code == 404
        assert ("access-control-allow-origin" in refused.headers) is allowed


@pytest.mark.parametrize(
    "text", ["app.example.com", "https://app.example.com/", "https://A.example.com", "null", "a,,b"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form https://host"):
        parse_origins(text)


def test_no_origins() -> None:
    assert parse_origins(" ") == ()
