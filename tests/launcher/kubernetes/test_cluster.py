"""What a launcher does with a Kubernetes cluster, beyond what it does in every place."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from modelserving.launcher.v1 import launcher_service_pb2 as pb
from modelserving.launcher.v1 import launcher_service_pb2_grpc as pb_grpc

from modelplane.adapters.shared.rpc.tls import TokenFiles, open_channel
from modelplane.launcher.kubernetes.manifests import AUDIENCE, HOST_BYTES
from tests.emulators.kubernetes.nodes import Container
from tests.launcher.groups import MIB, ask, group
from tests.launcher.kubernetes.rights import RULES
from tests.launcher.kubernetes.world import IMAGE, Cluster, Signer, cluster, launching


async def test_a_pod_that_is_lost_is_replaced_and_others_serve_on(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here:
        here.run(spec := group(here.models.add("iris"), replicas=2))
        before = await here.until_ready(spec)
        lost = here.pods()[0]["metadata"]["name"]
        here.nodes.kill(lost)
        known = {one.id for one in before}

        def left_of_them() -> list[pb.ReplicaReport]:
            there = [one for one in here.ready(spec) if one.id in known]
            return there if len(there) == 1 else []

        [left] = await here.until(left_of_them)
        assert left.id in {one.id for one in before}
        assert await ask(left, run="1") == 1
        assert left.id in {one.id for one in await here.until_ready(spec)}
        assert lost not in {pod["metadata"]["name"] for pod in here.pods()}


@pytest.mark.long
async def test_another_launcher_finds_what_runs_and_takes_nothing_away(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here:
        here.run(spec := group(here.models.add("iris"), replicas=2))
        before = {one.id for one in await here.until_ready(spec)}
        here.launcher.stand_by()
        assert here.launcher.report() is None
        here.launcher.apply([spec])
        # Hosts are found anew before anything is told.
        await here.until(lambda: here.launcher.report() is not None)
        assert {one.id for one in here.ready(spec)} == before
        assert len(here.pods()) == 2
        assert here.server.requests.count(("POST", here.server.requests[0][1])) <= 1


async def test_a_launcher_that_is_started_anew_says_nothing_before_hosts_are_back(
    tmp_path: Path,
) -> None:
    async with cluster(tmp_path) as here:
        here.run(spec := group(here.models.add("iris"), replicas=2))
        before = {one.id for one in await here.until_ready(spec)}
        await here.end_launcher()
        assert len(here.pods()) == 2
        async with launching(here.settings) as second:
            here.launcher = second
            here.run(spec)
            seen = await here.until(second.report)
            assert {one.id for one in seen.groups[0].replicas} == before
            assert seen.groups[0].progress == pb.GROUP_PROGRESS_READY


@pytest.mark.long
async def test_a_cluster_that_does_not_answer_is_asked_again(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here:
        model = here.models.add("iris")
        here.run(spec := group(model))
        [first] = await here.until_ready(spec)
        here.server.away = True
        here.server.break_watches()
        here.run(spec := group(model, replicas=2, generation=2))
        await asyncio.sleep(0.5)
        assert [one.id for one in here.ready(spec)] == [first.id]
        here.server.away = False
        # Changes that nobody keeps any longer: all is listed anew.
        here.server.store.forget()
        assert first.id in {one.id for one in await here.until_ready(spec)}


@pytest.mark.long
async def test_what_others_change_is_changed_back(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here:
        here.run(spec := group(here.models.add("iris")))
        [before] = await here.until_ready(spec)
        [found] = here.deployments()

        def scale(document: dict[str, Any]) -> None:
            document["spec"]["replicas"] = 3

        name = found["metadata"]["name"]
        here.server.store.change("deployments", name, scale)
        await here.until(lambda: here.deployments()[0]["spec"]["replicas"] == 1)
        await here.until(lambda: len(here.pods()) == 1)
        here.server.store.delete("deployments", name)
        await here.until(here.deployments)
        [after] = await here.until(lambda: [one for one in here.ready(spec) if one != before])
        assert after.id != before.id


@pytest.mark.long
async def test_another_template_replaces_pods_and_never_all_at_once(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here:
        here.run(spec := group(here.models.add("iris"), replicas=2))
        before = {one.id for one in await here.until_ready(spec)}
        here.nodes.images |= {"modelplane:2"}
        await here.end_launcher()
        newer = here.with_settings(kubernetes_image="modelplane:2")
        async with launching(newer) as second:
            here.launcher = second
            here.run(spec)

            def is_replaced() -> bool:
                report = second.report()
                if report is None:
                    return False
                assert len(here.ready(spec)) >= 2
                images = {pod["spec"]["containers"][0]["image"] for pod in here.pods()}
                return images == {"modelplane:2"} and len(here.ready(spec)) == 2

            await here.until(is_replaced)
            assert before.isdisjoint({one.id for one in here.ready(spec)})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"MODELPLANE_KUBERNETES_IMAGE": "nowhere:1"}, "ImagePullBackOff"),
        ({"MODELPLANE_LAUNCHER_MEMORY": "1GiB"}, "1 Insufficient memory"),
    ],
    ids=["image", "memory"],
)
async def test_what_keeps_pods_from_coming_up_is_told(
    tmp_path: Path, options: dict[str, str], told: str
) -> None:
    async with cluster(tmp_path, **options) as here:
        here.nodes.memory = 256 * MIB + HOST_BYTES - 1 if "MEMORY" in str(options) else 1 << 40
        here.run(spec := group(here.models.add("iris")))
        await here.until(lambda: told in here.group(spec).message)
        assert here.group(spec).progress == pb.GROUP_PROGRESS_STARTING


async def test_a_host_that_ends_again_and_again_is_told_with_its_last_words(
    tmp_path: Path,
) -> None:
    async def run(container: Container) -> int:
        container.say("exec format error\n")
        return 2

    async with cluster(tmp_path) as here:
        here.nodes.run = run
        here.run(spec := group(here.models.add("iris")))
        message = await here.until(
            lambda: "exec format error" in here.group(spec).message and here.group(spec).message
        )
        assert "CrashLoopBackOff" in message
        assert "it ended with status 2" in message


async def test_a_right_that_is_missing_is_told(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here:
        here.server.tokens["launcher-token"] = [
            rule for rule in RULES if "deployments/scale" not in rule["resources"]
        ]
        model = here.models.add("iris")
        here.run(spec := group(model, replicas=0))
        await here.until(here.deployments)
        here.run(spec := group(model, replicas=1, generation=2))
        message = await here.until(lambda: here.group(spec).message)
        assert 'cannot patch resource "deployments/scale"' in message
        here.server.tokens["launcher-token"] = RULES
        await here.until_ready(spec)


async def test_no_object_of_the_cluster_holds_a_secret(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here:
        model = here.models.add("iris")
        model.authorization = "bearer registry-secret"
        here.run(spec := group(model, environment={"KEY": "model-secret"}))
        [replica] = await here.until_ready(spec)
        assert await ask(replica, run="os.environ['KEY']") == "model-secret"
        said = str(here.server.store.list("pods") + here.deployments())
        assert "secret" not in said.replace("secretKeyRef", "")
        assert replica.token not in said


async def said_to(here: Cluster, token: str) -> str:
    """Return what the launcher says to who registers with a token."""
    file = here.folder / "a-token"
    file.write_text(token)
    files = TokenFiles(Path(here.settings.tls_ca), file, "launcher")
    async with open_channel(here.settings.hosts_address, files, ()) as channel:
        stream = pb_grpc.LauncherServiceStub(channel).Sync()
        with suppress(grpc.aio.AioRpcError):
            # Who it is is known before it has said a word.
            return str(await stream.read())
        return f"{(await stream.code()).name}: {await stream.details()}"


async def test_only_a_pod_of_the_group_registers_and_once(tmp_path: Path) -> None:
    async with cluster(tmp_path) as here:
        here.run(spec := group(here.models.add("iris")))
        [before] = await here.until_ready(spec)
        metadata = here.pods()[0]["metadata"]
        own = (metadata["name"], metadata["uid"])
        sign = here.signer.sign
        refused = {
            "no JWT": "none",
            "another audience": sign(*own, "https://kubernetes.default.svc"),
            "another key": Signer("first").sign(*own, AUDIENCE),
            "an unknown key": Signer("other").sign(*own, AUDIENCE),
            "expired": sign(*own, AUDIENCE, others={"exp": 1_000_000}),
            "no pod": sign(*own, AUDIENCE, others={"kubernetes.io": {"namespace": "serving"}}),
            "a former pod": sign(own[0], "another-uid", AUDIENCE),
        }
        for name, token in refused.items():
            assert (await said_to(here, token)).startswith("UNAUTHENTICATED"), name
        unknown = sign("another-pod", "uid", AUDIENCE)
        assert (await said_to(here, unknown)).startswith("UNAVAILABLE")
        # The model runs beside its host, and may read the token: the line is the host's.
        assert (await said_to(here, sign(*own, AUDIENCE))).startswith("ALREADY_EXISTS")
        assert [one.id for one in here.ready(spec)] == [before.id]
        assert IMAGE in str(here.pods())
