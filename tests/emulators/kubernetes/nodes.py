"""The controller of deployments, and machines that run their pods.

What a controller does is of https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
and ../replicaset/; what a kubelet does, of https://kubernetes.io/docs/concepts/workloads/pods/
pod-lifecycle/. Times are shorter.
"""

import asyncio
import hashlib
import json
import os
import re
import secrets
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.emulators.kubernetes.rules import Document
from tests.emulators.kubernetes.server import NAMESPACE
from tests.emulators.kubernetes.store import CREATED, Store

_BACK_OFF_SECONDS = 0.3
_PROBE_SECONDS = 0.05
_FIELD = re.compile(r"metadata\.annotations\['([^']+)'\]")


@dataclass
class Container:
    """A container that is to run.

    Attributes:
        name: The pod's.
        arguments: Its command's.
        environment: Its variables, with paths of volumes as they are on this machine.
        stop: Set when it is told to end (SIGTERM).
        killed: Set when it is killed: it ends without another word.
        say: Adds to its log.
    """

    name: str
    arguments: list[str]
    environment: Mapping[str, str]
    stop: asyncio.Event
    killed: asyncio.Event
    say: Callable[[str], None]


# Runs a container, and returns its exit status.
Run = Callable[[Container], Awaitable[int]]


@dataclass
class Nodes:
    """Machines, which are one.

    Attributes:
        store: Objects of the API server.
        run: Runs containers.
        folder: Where volumes are.
        token: Returns the token of a pod, given its name, uid and whom it is for.
        images: Those that can be pulled.
        memory: Bytes that requests of all pods may take together.
        logs: What containers have printed, by pod: the one that runs, and the one before.
    """

    store: Store
    run: Run
    folder: Path
    token: Callable[[str, str, str], str]
    images: frozenset[str]
    memory: int = 1 << 40
    logs: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    _pods: dict[str, "_Pod"] = field(default_factory=dict)
    _count: int = 1

    async def work(self) -> None:
        """Control deployments and run pods, until cancelled."""
        try:
            while True:
                self._control()
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await self.store.until_changed()
        finally:
            tasks = [pod.task for pod in self._pods.values()]
            for name in self._pods:
                self.kill(name)
            await asyncio.gather(*tasks)

    def log(self, name: str, previous: bool) -> str:  # noqa: FBT001 - as it is asked
        now, before = self.logs.get(name, ([], []))
        return "".join(before if previous else now)

    def kill(self, name: str) -> None:
        """Lose a pod without a word, as when its machine is lost, and notice it."""
        pod = self._pods[name]
        pod.is_lost = True
        pod.container.killed.set()
        pod.wake.set()

    def _control(self) -> None:
        deployments = {found["metadata"]["uid"]: found for found in self.store.list("deployments")}
        pods: dict[str, list[Document]] = {uid: [] for uid in deployments}
        for pod in self.store.list("pods"):
            owner = pod["metadata"]["ownerReferences"][0]["uid"]
            if owner not in pods:
                # What belonged to something that is gone is collected.
                self._end(pod)
            elif "deletionTimestamp" not in pod["metadata"]:
                pods[owner].append(pod)
        for uid, deployment in deployments.items():
            self._settle(deployment, pods[uid])

    def _settle(self, deployment: Document, pods: list[Document]) -> None:
        """Bring a deployment one step nearer to what it should be."""
        wanted = deployment["spec"]["replicas"]
        digest = _digest(deployment["spec"]["template"])
        new = [pod for pod in pods if pod["metadata"]["labels"]["pod-template-hash"] == digest]
        old = [pod for pod in pods if pod not in new]
        surge = 1 if old else 0
        for _ in range(min(wanted - len(new), wanted + surge - len(pods))):
            self._create(deployment, digest)
        # None of an older template ends before one of the new is ready in its place.
        spare = sum(_is_ready(pod) for pod in pods) - wanted
        for pod in sorted(old, key=_is_ready):
            if not _is_ready(pod) or spare > 0:
                spare -= _is_ready(pod)
                self._end(pod)
        # Pods that are not ready go first, then the youngest.
        order = sorted(new, key=lambda pod: (_is_ready(pod), -pod["metadata"]["number"]))
        for pod in order[: max(0, len(new) - wanted)]:
            self._end(pod)

    def _create(self, deployment: Document, digest: str) -> None:
        template = deployment["spec"]["template"]
        name = f"{deployment['metadata']['name']}-{digest}-{secrets.token_hex(3)}"
        self._count += 1
        metadata = {
            **template.get("metadata", {}),
            "name": name,
            "number": self._count,
            "ownerReferences": [{"uid": deployment["metadata"]["uid"]}],
        }
        metadata["labels"] = {**metadata["labels"], "pod-template-hash": digest}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        pod["status"] = {"phase": "Pending"}
        made = self.store.create("pods", pod, NAMESPACE)
        self._pods[name] = _Pod(self, made, self._next_address())

    def _next_address(self) -> str:
        """Return an address that no pod of another process of tests has: ports are the same."""
        return f"127.{1 + os.getpid() % 254}.{self._count // 250}.{2 + self._count % 250}"

    def _end(self, pod: Document) -> None:
        """Tell a pod to end, and forget it once it has."""
        name = pod["metadata"]["name"]
        if "deletionTimestamp" in pod["metadata"]:
            return

        def mark(found: Document) -> None:
            found["metadata"]["deletionTimestamp"] = CREATED

        self.store.change("pods", name, mark)
        self._pods[name].is_wanted = False
        self._pods[name].container.stop.set()
        self._pods[name].wake.set()

    def free_memory(self, but: str) -> int:
        placed = [
            pod
            for pod in self.store.list("pods")
            if pod["metadata"]["name"] != but and pod["status"].get("podIP")
        ]
        return self.memory - sum(map(_memory, placed))

    def forget(self, name: str) -> None:
        del self._pods[name]
        if self.store.find("pods", name) is not None:
            self.store.delete("pods", name)


class _Pod:
    """A pod that a kubelet looks after."""

    def __init__(self, nodes: Nodes, document: Document, address: str) -> None:
        self.name = document["metadata"]["name"]
        self.is_wanted = True
        self.is_lost = False
        self.wake = asyncio.Event()
        self._nodes = nodes
        self._document = document
        self._address = address
        self._restarts = 0
        nodes.logs[self.name] = ([], [])
        self.container = self._container()
        self.task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        try:
            if await self._be_placed():
                await self._loop()
        finally:
            self._nodes.forget(self.name)

    async def _be_placed(self) -> bool:
        while self.is_wanted and not self.is_lost:
            need = _memory(self._document)
            if need > self._nodes.free_memory(self.name):
                message = "0/1 nodes are available: 1 Insufficient memory."
                self._status(conditions=[_condition("PodScheduled", "Unschedulable", message)])
            elif (image := self._spec["image"]) not in self._nodes.images:
                self._status(
                    podIP=self._address,
                    containerStatuses=[_waits("ImagePullBackOff", f'Back-off pulling "{image}"')],
                )
            else:
                return True
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await self.wake.wait()
        return False

    async def _loop(self) -> None:
        """Run the container, again and again while the pod is wanted."""
        while self.is_wanted and not self.is_lost:
            self.container = self._container()
            self._nodes.logs[self.name] = ([], self._nodes.logs[self.name][0])
            self._status(phase="Running", podIP=self._address, containerStatuses=[_runs()])
            probing = asyncio.create_task(self._probe())
            try:
                status = await self._nodes.run(self.container)
            finally:
                probing.cancel()
            if not self.is_wanted or self.is_lost:
                return
            self._restarts += 1
            ended = {"terminated": {"exitCode": status, "reason": "Error"}}
            self._status(
                containerStatuses=[_waits("CrashLoopBackOff", "back-off restarting", ended)],
                conditions=[_condition("Ready", "ContainersNotReady", "", status="False")],
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(_BACK_OFF_SECONDS):
                    await self.wake.wait()

    async def _probe(self) -> None:
        """Ask whether it is ready, and say so."""
        probe = self._spec["readinessProbe"]["httpGet"]
        [port] = [
            one["containerPort"] for one in self._spec["ports"] if one["name"] == probe["port"]
        ]
        while True:
            status = await asyncio.to_thread(_get, f"http://{self._address}:{port}{probe['path']}")
            self._status(conditions=[_condition("Ready", "", "", status=str(status == 200))])
            await asyncio.sleep(_PROBE_SECONDS)

    def _status(self, **changes: Any) -> None:
        def change(pod: Document) -> None:
            pod["status"] = {**pod["status"], **changes}

        self._nodes.store.change("pods", self.name, change)

    @property
    def _spec(self) -> Document:
        found: Document = self._document["spec"]["containers"][0]
        return found

    def _container(self) -> Container:
        mounts = self._make_volumes()
        environment: dict[str, str] = {}
        for variable in self._spec["env"]:
            value = variable.get("value", "")
            if "valueFrom" in variable:
                assert variable["valueFrom"]["fieldRef"]["fieldPath"] == "status.podIP"
                value = self._address
            for name, known in environment.items():
                value = value.replace(f"$({name})", known)
            for inside, outside in mounts.items():
                if value == inside or value.startswith(inside + "/"):
                    value = str(outside) + value.removeprefix(inside)
            environment[variable["name"]] = value
        say = self._nodes.logs[self.name][0].append
        stop, killed = asyncio.Event(), asyncio.Event()
        return Container(self.name, self._spec["args"], environment, stop, killed, say)

    def _make_volumes(self) -> dict[str, Path]:
        metadata, folder = self._document["metadata"], self._nodes.folder / self.name
        for volume in self._document["spec"]["volumes"]:
            inside = folder / volume["name"]
            inside.mkdir(parents=True, exist_ok=True)
            for item in volume.get("downwardAPI", {}).get("items", ()):
                found = _FIELD.fullmatch(item["fieldRef"]["fieldPath"])
                assert found
                (inside / item["path"]).write_text(metadata["annotations"][found[1]])
            for source in volume.get("projected", {}).get("sources", ()):
                asked = source["serviceAccountToken"]
                token = self._nodes.token(self.name, metadata["uid"], asked["audience"])
                (inside / asked["path"]).write_text(token)
        mounts = self._spec["volumeMounts"]
        return {mount["mountPath"]: folder / mount["name"] for mount in mounts}


def _get(url: str) -> int:
    """Return the status of a page; 0: there is none."""
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return 0


def _digest(template: Document) -> str:
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def _memory(pod: Document) -> int:
    return int(pod["spec"]["containers"][0]["resources"]["requests"]["memory"])


def _is_ready(pod: Document) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def _condition(kind: str, reason: str, message: str, status: str = "False") -> Document:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _waits(reason: str, message: str, last: Document | None = None) -> Document:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"name": "host", "state": state, "lastState": last or {}}


def _runs() -> Document:
    return {"name": "host", "state": {"running": {"startedAt": CREATED}}, "lastState": {}}
