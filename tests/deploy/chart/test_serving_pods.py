"""What the pods that serve are told: the real Envoy takes it, and there is time to drain."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest

from modelplane.deploy.certificates import CertificateDir
from modelplane.deploy.command.cli import main
from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.ports import free_port
from tests.deploy.chart.cases import GOOD
from tests.deploy.chart.pods import container, environment, named, ports
from tests.deploy.chart.render import IS_HERE, Document, Rendered, render
from tests.deploy.command.test_cli import make_certificate, validate
from tests.deploy.envoy.envoys import running_envoy, until_health
from tests.deploy.envoy.toy_planes import ToyControlPlane
from tests.deploy.envoy.toy_worker import ToyWorker

pytestmark = pytest.mark.skipif(not IS_HERE, reason="Helm is not built for this machine")

# Within which a draining worker is noticed, and hands over what it holds.
NOTICE_SECONDS, GRACE_SECONDS = 1.0, 5.0
ADMIN = 9901


@pytest.fixture(scope="module")
def found() -> Mapping[str, Rendered]:
    return render(GOOD)


def pod(documents: list[Document], name: str) -> Document:
    deployment = named(documents, "Deployment", name)
    specification: Document = deployment["spec"]["template"]["spec"]
    return specification


@pytest.mark.parametrize("name", GOOD)
def test_a_pod_has_time_to_drain(found: Mapping[str, Rendered], name: str) -> None:
    documents = found[name].documents
    for deployment in ("control-plane", "worker"):
        one = pod(documents, f"-{deployment}")
        drain = float(environment(container(documents, deployment))["MODELPLANE_DRAIN_SECONDS"])
        inside = {each["name"] for each in one["containers"]}
        pause = pause_of(documents) if "envoy" in inside else 0.0
        needed = pause + drain + NOTICE_SECONDS + GRACE_SECONDS
        assert one["terminationGracePeriodSeconds"] > needed
    if GOOD[name].get("layout") == "separate":
        assert pod(documents, "-envoy")["terminationGracePeriodSeconds"] > pause_of(documents)


def pause_of(documents: list[Document]) -> float:
    return float(pause_command(documents)[-1].split()[-1])


def pause_command(documents: list[Document]) -> list[str]:
    command: list[str] = container(documents, "envoy")["lifecycle"]["preStop"]["exec"]["command"]
    return command


async def test_the_pause_of_a_pod_begins_with_a_health_that_fails(
    found: Mapping[str, Rendered], tmp_path: Path
) -> None:
    *shell, script = pause_command(found["embedded"].documents)
    admin = Address("127.0.0.1", free_port(Random()))
    script = script.replace(str(ADMIN), str(admin.port)).replace("sleep 30", "sleep 0")
    async with (
        ToyControlPlane() as control_plane,
        ToyWorker() as worker,
        running_envoy(tmp_path, control_plane.address, worker.address, admin=admin) as (public, _),
    ):
        await until_health(public, 200)
        process = await asyncio.create_subprocess_exec(*shell, script)
        assert await process.wait() == 0
        await until_health(public, 503)


@pytest.mark.parametrize("name", ["embedded", "separate", "everything-separate"])
def test_envoy_accepts_what_its_pod_makes_for_it(
    found: Mapping[str, Rendered],
    name: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    documents = found[name].documents
    making, envoy = container(documents, "envoy-config"), container(documents, "envoy")
    program = " ".join(making["command"])
    assert program.startswith("sh -c exec modelplane envoy-config")
    assert main(["envoy-config", *making["args"]]) == 0
    config = capsys.readouterr().out
    CertificateDir(tmp_path / "tls").ensure(["control-plane"], datetime.now(UTC))
    make_certificate(tmp_path / "tls.crt", tmp_path / "tls.key")
    here = (
        config.replace("/etc/modelplane/tls/ca.crt", f"{tmp_path}/tls/ca.crt")
        .replace("/etc/modelplane/tls/tls", f"{tmp_path}/tls/envoy")
        .replace("/etc/modelplane/public/tls", f"{tmp_path}/tls")
    )
    validate(here, tmp_path)
    # What one container writes, another reads.
    assert program.partition("> ")[2].split()[0] in envoy["args"]
    assert f'"port_value": {ports(pod(documents, pod_of_envoy(name)))["public"]}' in config
    assert f'"port_value": {ADMIN}' in config
    mounted = {mount["mountPath"] for mount in envoy["volumeMounts"]}
    worker = container(documents, "worker")
    if name == "embedded":
        socket = environment(worker)["MODELPLANE_WORKER_LISTEN"].removeprefix("unix:")
        assert f'"path": "{socket}"' in config
        for one in (envoy, worker):
            mounts = {mount["name"]: mount["mountPath"] for mount in one["volumeMounts"]}
            assert mounts["run"] == str(Path(socket).parent)
        # The socket is for its owner only.
        assert pod(documents, "-worker")["securityContext"]["runAsUser"]
    else:
        port = ports(pod(documents, "-worker"))["worker"]
        assert f'"port_value": {port}' in config
        assert "/etc/modelplane/tls" in mounted


def pod_of_envoy(name: str) -> str:
    return "-worker" if name == "embedded" else "-envoy"
