"""A Kubernetes cluster: a deployment for each group, with as many pods as it has replicas.

Used by `../cluster/launcher.py`. What is there is known from watches, so that nothing is asked
again and again; each change names the version that it is of, and is made anew where others were
faster.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from http import HTTPStatus

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.cluster.cluster import (
    ClusterAway,
    Identity,
    Registered,
    Seen,
    Stranger,
)
from modelplane.launcher.kubernetes.api import Api, Document, Refused
from modelplane.launcher.kubernetes.identity import PodTokens
from modelplane.launcher.kubernetes.manifests import (
    GROUP_LABEL,
    POOL_LABEL,
    TEMPLATE,
    Hosts,
    deployment,
    name_of,
)
from modelplane.launcher.kubernetes.mirror import Mirror
from modelplane.launcher.kubernetes.problems import is_looping, problem_of
from modelplane.launcher.kubernetes.scaled_objects import API_VERSION, Keda, scaled_object

_log = logging.getLogger(__name__)

_CONFLICT, _NOT_FOUND, _FORBIDDEN = (
    HTTPStatus.CONFLICT,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.FORBIDDEN,
)
_INVALID = (HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY)
_ENDED = ("Succeeded", "Failed")
_LAST_LINES = "12"
_LAST_CHARACTERS = 1500
_NO_KEDA = (
    "The cluster knows no ScaledObjects, so that nothing scales this: install KEDA, or set "
    "MODELPLANE_KUBERNETES_SCALING to launcher."
)


class KubernetesCluster:
    """The deployments of one pool in one namespace.

    Args:
        api: The API server.
        namespace: Where they are.
        hosts: What their pods have in common.
        capacity: What replicas may use together, which the operator says.
        keda: How KEDA finds this launcher, where it is KEDA that scales; None: the launcher does.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        hosts: Hosts,
        capacity: pb.Capacity,
        keda: Keda | None = None,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._hosts = hosts
        self._capacity = capacity
        self._keda = keda
        self._deployments_path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
        self._pods_path = f"/api/v1/namespaces/{namespace}/pods"
        selector = f"{POOL_LABEL}={hosts.pool}"
        self._deployments = Mirror(api, self._deployments_path, selector)
        self._pods = Mirror(api, self._pods_path, selector)
        self._scalers_path = f"/apis/{API_VERSION}/namespaces/{namespace}/scaledobjects"
        self._scalers = Mirror(api, self._scalers_path, selector)
        self._tokens = PodTokens(api)
        # By group: why its deployment is refused.
        self._refusals: dict[str, str] = {}
        # By pod's uid: what it printed before it ended.
        self._last_words: dict[str, str] = {}

    async def watch(self, changed: Callable[[], None]) -> None:
        """Keep looking at what there is, until cancelled; see `Cluster.watch`."""
        looking = asyncio.Event()

        def on_pods() -> None:
            looking.set()
            changed()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._deployments.run(changed))
            tasks.create_task(self._pods.run(on_pods))
            if self._keda is not None:
                tasks.create_task(self._scalers.run(changed))
            tasks.create_task(self._listen(looking, changed))

    async def keep(self, specs: Sequence[pb.GroupSpec], registered: Registered) -> None:
        """Make deployments what they should be; see `Cluster.keep`."""
        # The controller of deployments goes by the pods' own probes.
        del registered
        failures = [await self._try(spec.id, self._keep_one(spec)) for spec in specs]
        wanted = {name_of(spec.id) for spec in specs}
        for name, found in list(self._deployments.objects.items()):
            group = found["metadata"]["labels"].get(GROUP_LABEL, "")
            # What has the pool's label and another name is somebody else's.
            if name not in wanted and name == name_of(group):
                failures.append(await self._try(group, self._delete(name, found)))
        self._refusals = {
            key: text for key, text in self._refusals.items() if name_of(key) in wanted
        }
        if failed := [failure for failure in failures if failure]:
            raise ClusterAway("; ".join(dict.fromkeys(failed)))

    def seen(self) -> Mapping[str, Seen] | None:
        """Return what there is of each group; see `Cluster.seen`."""
        if not (self._pods.is_known and self._deployments.is_known):
            return None
        pods: dict[str, list[Document]] = {}
        for found in self._deployments.objects.values():
            pods[found["metadata"]["labels"].get(GROUP_LABEL, "")] = []
        for pod in self._pods.objects.values():
            if pod.get("status", {}).get("phase") not in _ENDED:
                pods.setdefault(pod["metadata"]["labels"].get(GROUP_LABEL, ""), []).append(pod)
        return {group: self._seen(group, found) for group, found in pods.items()}

    def capacity(self) -> pb.Capacity:
        """Return what the operator says that replicas may use together."""
        found = pb.Capacity()
        found.CopyFrom(self._capacity)
        return found

    async def identify(self, token: str) -> Identity:
        """Return whose pod a token is; see `Cluster.identify`."""
        namespace, name, uid = await self._tokens.check(token)
        pod = self._pods.objects.get(name) if namespace == self._namespace else None
        address = pod.get("status", {}).get("podIP") if pod else None
        if pod is None or not address:
            raise ClusterAway("The pod is not known here, or not yet.")
        if pod["metadata"]["uid"] != uid:
            raise Stranger("The token is of a pod that was there before.")
        group = pod["metadata"]["labels"].get(GROUP_LABEL, "")
        owner = self._deployments.objects.get(name_of(group))
        if owner is None:
            raise Stranger("The pod belongs to no group that runs here.")
        return Identity(name, group, str(address))

    def _seen(self, group: str, pods: Sequence[Document]) -> Seen:
        problem = self._refusals.get(group) or problem_of(pods)
        words = [self._last_words.get(pod["metadata"]["uid"], "") for pod in pods]
        if problem and (last := next(filter(None, words), "")):
            problem = f"{problem}\nThe end of its log:\n{last}"
        return Seen(frozenset(pod["metadata"]["name"] for pod in pods), problem)

    async def _try(self, group: str, work: Awaitable[None]) -> str:
        """Do a part of the work; return why it has failed and is to be tried again, or nothing."""
        try:
            await work
        except Refused as error:
            if error.status in _INVALID:
                # It would be refused again, and others need not wait for it.
                self._refusals[group] = f"Kubernetes refuses the deployment: {error}"
                return ""
            if error.status == _FORBIDDEN:
                self._refusals[group] = f"The launcher may not do this in the cluster: {error}"
            if str(error) == _NO_KEDA:
                self._refusals[group] = _NO_KEDA
            return str(error)
        except ClusterAway as error:
            return str(error)
        self._refusals.pop(group, None)
        return ""

    async def _keep_one(self, spec: pb.GroupSpec) -> None:
        wanted, name = deployment(spec, self._hosts), name_of(spec.id)
        found = self._deployments.objects.get(name)
        if found is None:
            made = await self._api.create(self._deployments_path, wanted)
            self._deployments.put(made)
            await self._leave_to_keda(spec, made)
            return
        template = wanted["metadata"]["annotations"][TEMPLATE]
        if _template_of(found) != template:
            # Of another release, or with other options: its pods are replaced one by one.
            wanted["metadata"]["resourceVersion"] = found["metadata"]["resourceVersion"]
            wanted["spec"]["replicas"] = found["spec"].get("replicas", 1)
            found = await self._api.replace(f"{self._deployments_path}/{name}", wanted)
            self._deployments.put(found)
        if self._keda is not None:
            await self._leave_to_keda(spec, found)
        elif found["spec"].get("replicas", 1) != spec.replicas:
            await self._scale(name, found, spec.replicas)

    async def _leave_to_keda(self, spec: pb.GroupSpec, owner: Document) -> None:
        """Let KEDA scale a deployment, where it is to; what others add to its object stays."""
        if self._keda is None:
            return
        wanted = scaled_object(spec, owner, self._hosts.pool, self._keda)
        found = self._scalers.objects.get(wanted["metadata"]["name"])
        try:
            if found is None:
                self._scalers.put(await self._api.create(self._scalers_path, wanted))
            elif _template_of(found) != _template_of(wanted):
                path = f"{self._scalers_path}/{wanted['metadata']['name']}"
                self._scalers.put(await self._api.patch(path, wanted))
        except Refused as error:
            if error.status != _NOT_FOUND:
                raise
            self._scalers.objects.pop(wanted["metadata"]["name"], None)
            raise Refused(error.status, error.reason, _NO_KEDA) from error

    async def _scale(self, name: str, found: Document, replicas: int) -> None:
        change = {
            "metadata": {"resourceVersion": found["metadata"]["resourceVersion"]},
            "spec": {"replicas": replicas},
        }
        scaled = await self._api.patch(f"{self._deployments_path}/{name}/scale", change)
        metadata = {
            **found["metadata"],
            "resourceVersion": scaled["metadata"]["resourceVersion"],
        }
        spec = {**found["spec"], "replicas": replicas}
        self._deployments.put({**found, "metadata": metadata, "spec": spec})

    async def _delete(self, name: str, found: Document) -> None:
        try:
            await self._api.delete(f"{self._deployments_path}/{name}", found["metadata"]["uid"])
        except Refused as error:
            if error.status not in (_NOT_FOUND, _CONFLICT):
                raise
        self._deployments.objects.pop(name, None)

    async def _listen(self, looking: asyncio.Event, changed: Callable[[], None]) -> None:
        """Read what containers have printed that end again and again before they register."""
        while True:
            await looking.wait()
            looking.clear()
            pods = list(self._pods.objects.values())
            alive = {pod["metadata"]["uid"] for pod in pods}
            self._last_words = {key: it for key, it in self._last_words.items() if key in alive}
            for pod in pods:
                uid = pod["metadata"]["uid"]
                if is_looping(pod) and uid not in self._last_words:
                    with suppress(ClusterAway):
                        self._last_words[uid] = await self._read_log(pod["metadata"]["name"])
                        changed()

    async def _read_log(self, name: str) -> str:
        text = await self._api.get_text(
            f"{self._pods_path}/{name}/log", previous="true", tailLines=_LAST_LINES
        )
        fields = log_fields(pod=name, log=text[-_LAST_CHARACTERS:])
        _log.warning("a host ends again and again", extra=fields)
        return text[-_LAST_CHARACTERS:]


def _template_of(found: Document) -> str:
    return str(found["metadata"].get("annotations", {}).get(TEMPLATE, ""))
