"""The emulated API server of Kubernetes refuses what the real one refuses."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.deploy.certificates import CertificateDir
from modelplane.launcher.kubernetes.api import Api, Refused
from modelplane.launcher.kubernetes.manifests import Hosts, deployment
from tests.emulators.kubernetes.server import NAMESPACE, Kubernetes
from tests.launcher.kubernetes.rights import RULES
from tests.launcher.kubernetes.world import account

PATH = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"
HOSTS = Hosts("image:1", "launcher:9093", "CA", "default")


def example() -> dict[str, Any]:
    return deployment(pb.GroupSpec(id="a" * 32, replicas=1), HOSTS)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[tuple[Kubernetes, Api]]:
    certificates = CertificateDir(tmp_path / "certificates")
    certificates.ensure(["127.0.0.1"], datetime.now(UTC))
    files = certificates.settings("control-plane")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files["MODELPLANE_TLS_CERT"], files["MODELPLANE_TLS_KEY"])
    kubernetes = Kubernetes(tokens={"launcher-token": RULES})
    async with kubernetes.running(tls):
        own = account(tmp_path / "account", Path(files["MODELPLANE_TLS_CA"]))
        api = Api(kubernetes.url, own)
        yield kubernetes, api
        await api.aclose()


async def refusal(work: Any) -> tuple[int, str, str]:
    with pytest.raises(Refused) as raised:
        await work
    return raised.value.status, raised.value.reason, str(raised.value)


async def test_what_is_no_deployment_is_refused(server: tuple[Kubernetes, Api]) -> None:
    _, api = server
    changes: list[tuple[Any, int, str]] = [
        (lambda d: d["spec"].update(replicaz=1), 400, "replicaz"),
        (lambda d: d["spec"].update(replicas="one"), 400, "replicas"),
        (lambda d: d["metadata"].update(name="Upper_Case"), 422, "RFC 1123"),
        (lambda d: d["metadata"]["labels"].update(a="b c"), 422, "label"),
        (lambda d: d["metadata"]["annotations"].update({"a/b/c": ""}), 422, "qualified"),
        (lambda d: d["spec"]["selector"]["matchLabels"].update(a="b"), 422, "selector"),
        (lambda d: d["spec"].update(replicas=-1), 422, "replicas"),
        (lambda d: _container(d).update(name="Host"), 422, "RFC 1123"),
        (lambda d: _container(d)["volumeMounts"][0].update(name="none"), 422, "Not found"),
        (lambda d: _container(d)["resources"]["limits"].update(memory="1 GB"), 422, "quantity"),
        (lambda d: _container(d)["readinessProbe"]["httpGet"].update(port="x"), 422, "port"),
        (lambda d: d.update(kind="StatefulSet"), 400, "no Deployment"),
    ]
    for change, status, told in changes:
        document = example()
        change(document)
        found = await refusal(api.create(PATH, document))
        assert found[0] == status, found
        assert told in found[2]


def _container(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["spec"]["template"]["spec"]["containers"][0]
    return found


async def test_versions_names_and_rights_hold(server: tuple[Kubernetes, Api]) -> None:
    kubernetes, api = server
    made = await api.create(PATH, example())
    assert (await refusal(api.create(PATH, example())))[:2] == (409, "AlreadyExists")
    one = f"{PATH}/{made['metadata']['name']}"
    scaled = await api.patch(f"{one}/scale", {"spec": {"replicas": 2}})
    assert scaled["spec"]["replicas"] == 2
    assert (await refusal(api.replace(one, made)))[:2] == (409, "Conflict")
    version = {"resourceVersion": made["metadata"]["resourceVersion"]}
    change = {"metadata": version, "spec": {"replicas": 3}}
    assert (await refusal(api.patch(f"{one}/scale", change)))[:2] == (409, "Conflict")
    assert (await refusal(api.patch(one, {"spec": {"replicas": 3}})))[:2] == (403, "Forbidden")
    moved = await api.get(one)
    moved["spec"]["selector"]["matchLabels"].pop("modelplane/pool")
    assert "immutable" in (await refusal(api.replace(one, moved)))[2]
    assert (await refusal(api.delete(one, "another-uid")))[:2] == (409, "Conflict")
    await api.delete(one, made["metadata"]["uid"])
    assert (await refusal(api.get(one)))[:2] == (404, "NotFound")
    kubernetes.tokens.clear()
    assert (await refusal(api.get(PATH)))[:2] == (401, "Unauthorized")


async def test_a_watch_tells_changes_and_that_they_are_too_old(
    server: tuple[Kubernetes, Api],
) -> None:
    kubernetes, api = server
    before = (await api.get(PATH))["metadata"]["resourceVersion"]
    await api.create(PATH, example())

    async def first(version: str) -> dict[str, Any]:
        async for event in api.watch(PATH, {"resourceVersion": version}):
            return event
        raise AssertionError("no event")

    with suppress(GeneratorExit):
        event = await asyncio.wait_for(first(before), 120)
        assert (event["type"], event["object"]["kind"]) == ("ADDED", "Deployment")
    kubernetes.store.forget()
    event = await asyncio.wait_for(first(before), 120)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
