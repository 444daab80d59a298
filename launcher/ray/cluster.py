"""A Ray cluster: a job for each host, asked for and ended over its REST API.

Used by `../cluster/launcher.py`. Ray starts a job once and never again, so that what Kubernetes
does for deployments is done here: which jobs start and end (`plan.py`), when one that has ended is
started anew, and what is done about machines that do not answer.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from http import HTTPStatus

from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.byte_counts import in_words
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.cluster.cluster import (
    ClusterAway,
    Identity,
    Registered,
    Seen,
    Stranger,
)
from modelplane.launcher.ray.api import Api, Refused
from modelplane.launcher.ray.jobs import (
    HOST_BYTES,
    PENDING,
    STOPPED,
    Hosts,
    Job,
    document_of,
    job_of,
    read_jobs,
    template_of,
)
from modelplane.launcher.ray.plan import plan

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
# Jobs are listed for who is not known yet, but not for each stranger.
_LEAST_LOOK_SECONDS = 0.2
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
# Ray finds out by itself within about a minute that a machine is lost.
_AVOID_SECONDS = 120.0
# Where no other machine fits, hosts are started wherever Ray finds room.
_AVOIDING_SECONDS = 15.0
# What was told to end may not have heard it, when the head was started anew.
_AGAIN_SECONDS = 60.0
# What was refused is not asked for again sooner: most often somebody has to change it first.
_REFUSED_SECONDS = 60.0
_LAST_CHARACTERS = 1500


@dataclass(slots=True)
class _Trouble:
    """Hosts of a group that have ended by themselves, one after another.

    Attributes:
        count: How many.
        until: When the next may start, by the loop's clock.
        words: What Ray said of the last.
    """

    count: int = 0
    until: float = 0.0
    words: str = ""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Why Ray does not take the jobs of a group.

    Attributes:
        made_from: Template and generation.
        until: When Ray is asked again for such jobs, by the loop's clock.
        words: What is told.
    """

    made_from: tuple[str, int]
    until: float
    words: str


class RayCluster:
    """The jobs of one pool.

    Args:
        api: Ray's REST API.
        hosts: What their hosts have in common.
        capacity: What replicas may use together, which the operator says.
    """

    def __init__(self, api: Api, hosts: Hosts, capacity: pb.Capacity) -> None:
        self._api = api
        self._hosts = hosts
        self._capacity = capacity
        self._clock = asyncio.get_running_loop().time
        # By submission id; None: they are not known yet.
        self._jobs: dict[str, Job] | None = None
        self._looked_at = float("-inf")
        # Counts what is started and ended: a list that was asked for before does not know of it.
        self._changes = 0
        self._since: dict[str, float] = {}
        # When hosts were told to end, by name.
        self._ending: dict[str, float] = {}
        # By Ray's identifier: until when a machine that does not answer is kept out.
        self._lost: dict[str, float] = {}
        self._troubles: dict[str, _Trouble] = {}
        # By group: why its jobs are refused.
        self._refusals: dict[str, _Refusal] = {}

    async def watch(self, changed: Callable[[], None]) -> None:
        """Keep looking at what there is, until cancelled; see `Cluster.watch`."""
        is_checked = False
        while True:
            try:
                if not is_checked:
                    await self._api.check_closed()
                    is_checked = True
                before = self._jobs
                await self._look()
                # Whoever waits for a pause to be over is woken, too.
                if self._jobs != before or self._troubles or self._lost:
                    changed()
            except ClusterAway as error:
                # What was known still is what is known.
                is_checked = False
                _log.warning("jobs cannot be listed", extra=log_fields(reason=str(error)))
            await asyncio.sleep(_LOOK_SECONDS)

    async def keep(self, specs: Sequence[pb.GroupSpec], registered: Registered) -> None:
        """Have as many jobs of each group as there should be; see `Cluster.keep`."""
        now = self._clock()
        self._lost = {node: until for node, until in self._lost.items() if now < until}
        wanted = {spec.id for spec in specs}
        others = {job.group_id for job in (self._jobs or {}).values()} - wanted
        failures = [await _tried(self._end_all(group)) for group in others]
        failures += [await _tried(self._keep_one(spec, registered)) for spec in specs]
        self._refusals = {key: text for key, text in self._refusals.items() if key in wanted}
        self._troubles = {key: one for key, one in self._troubles.items() if key in wanted}
        if failed := [failure for failure in failures if failure]:
            raise ClusterAway("; ".join(dict.fromkeys(failed)))

    def seen(self) -> Mapping[str, Seen] | None:
        """Return what there is of each group; see `Cluster.seen`."""
        if self._jobs is None:
            return None
        groups = {job.group_id for job in self._jobs.values()}
        return {
            group: self._seen(group)
            for group in groups | self._refusals.keys() | self._troubles.keys()
        }

    def capacity(self) -> pb.Capacity:
        """Return what the operator says that replicas may use together."""
        found = pb.Capacity()
        found.CopyFrom(self._capacity)
        return found

    async def identify(self, token: str) -> Identity:
        """Return whose job a token is; see `Cluster.identify`."""
        name = token.rpartition(".")[0]
        job = (self._jobs or {}).get(name)
        if job is None or not job.address:
            if self._clock() - self._looked_at < _LEAST_LOOK_SECONDS:
                raise ClusterAway("The job is not known here, or not yet.")
            await self._look()
            job = (self._jobs or {}).get(name)
        if job is None or not compare_digest(job.token.encode(), token.encode()):
            raise Stranger("The token is of no job that runs here.")
        if job.has_ended:
            raise Stranger("The job has ended.")
        if not job.address:
            raise ClusterAway("Ray does not say yet where the job runs.")
        return Identity(job.id, job.group_id, job.address)

    async def _look(self) -> None:
        self._looked_at = self._clock()
        before = self._changes
        jobs = read_jobs(await self._api.jobs(), self._hosts.pool)
        if self._changes == before:
            self._jobs = jobs
            self._ending = {name: at for name, at in self._ending.items() if name in jobs}
            self._since = {name: self._since.get(name, self._looked_at) for name in jobs}

    def _seen(self, group: str) -> Seen:
        jobs = [job for job in self._of(group) if not job.has_ended]
        # Those that wait may wait for ever, and have never run.
        waiting = [job for job in jobs if job.status == PENDING]
        trouble = self._troubles.get(group)
        refusal = self._refusals.get(group)
        problem = refusal.words if refusal else trouble.words if trouble else ""
        asked = next((job for job in waiting if job.id not in self._ending), None)
        if asked is not None and not problem:
            problem = f"Ray has not started the host's job yet: {asked.message}"
        return Seen(frozenset(job.id for job in jobs if job not in waiting), problem)

    def _of(self, group: str) -> list[Job]:
        return [job for job in (self._jobs or {}).values() if job.group_id == group]

    async def _keep_one(self, spec: pb.GroupSpec, registered: Registered) -> None:
        template = template_of(spec, self._hosts)
        if spec.size.gpus and spec.size.gpu_memory_bytes:
            words = "Ray places by a GPU's type, not by its memory: say gpu_type in its place."
            self._refuse(spec, template, words)
            return
        await self._clear(spec.id)
        await self._give_up(spec.id, registered.lost)
        if sum(job.id in registered.ready for job in self._of(spec.id)) >= spec.replicas:
            self._troubles.pop(spec.id, None)
        todo = plan(
            spec.replicas,
            template,
            self._of(spec.id),
            registered.ready,
            self._ending,
        )
        # Before hosts are back that ran before this launcher did, nobody knows which of them serve.
        for job in todo.end if registered.is_complete else ():
            await self._end(job)
        trouble = self._troubles.get(spec.id)
        if trouble is None or self._clock() >= trouble.until:
            await self._start_all(spec, template, todo.start)

    async def _start_all(self, spec: pb.GroupSpec, template: str, count: int) -> None:
        if count and self._is_refused(spec, template):
            return
        try:
            for _ in range(count):
                await self._start(spec)
        except Refused as error:
            if error.status != HTTPStatus.BAD_REQUEST:
                raise
            # It would be refused again, and others need not wait for it.
            self._refuse(spec, template, str(error))
        else:
            self._refusals.pop(spec.id, None)

    def _is_refused(self, spec: pb.GroupSpec, template: str) -> bool:
        known = self._refusals.get(spec.id)
        if known is None or known.made_from != (template, spec.generation):
            return False
        return self._clock() < known.until

    def _refuse(self, spec: pb.GroupSpec, template: str, words: str) -> None:
        until = self._clock() + _REFUSED_SECONDS
        made_from = (template, spec.generation)
        self._refusals[spec.id] = _Refusal(made_from, until, f"Ray refuses the job: {words}")

    async def _end_all(self, group: str) -> None:
        await self._clear(group)
        for job in self._of(group):
            if job.id not in self._ending:
                await self._end(job)

    async def _clear(self, group: str) -> None:
        """Forget jobs that have ended; those that were told to and have not are told again."""
        for job in self._of(group):
            if job.has_ended:
                if job.token and job.id not in self._ending and job.status != STOPPED:
                    self._count(group, job)
                await self._api.delete(job.id)
                self._drop(job)
            elif self._clock() - self._ending.get(job.id, float("inf")) > _AGAIN_SECONDS:
                await self._end(job)

    async def _give_up(self, group: str, lost: Collection[str]) -> None:
        """End jobs whose hosts are lost, and those that found no machine but such as are."""
        now = self._clock()
        for job in self._of(group):
            if job.id in self._ending:
                continue
            if job.id in lost:
                _log.warning("a host is lost", extra=log_fields(job=job.id, node=job.node))
                self._lost[job.node] = now + _AVOID_SECONDS
                await self._end(job)
            elif (
                job.status == PENDING
                and job.avoids
                and now - self._since.get(job.id, now) > _AVOIDING_SECONDS
            ):
                self._lost.clear()
                await self._end(job)

    def _count(self, group: str, job: Job) -> None:
        trouble = self._troubles.setdefault(group, _Trouble())
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**trouble.count)
        # The first one that serves no longer is replaced at once.
        trouble.until = self._clock() + (pause if trouble.count else 0.0)
        trouble.count = min(trouble.count + 1, 10)
        trouble.words = f"The host's job has ended: {job.message[-_LAST_CHARACTERS:]}"
        fields = log_fields(job=job.id, status=job.status, message=job.message[-_LAST_CHARACTERS:])
        _log.warning("a host has ended", extra=fields)

    async def _start(self, spec: pb.GroupSpec) -> None:
        document = document_of(spec, self._hosts, self._lost)
        job = job_of(document, self._hosts.pool)
        await self._api.submit(document)
        size = in_words(spec.size.memory_bytes + HOST_BYTES)
        fields = log_fields(job=job.id, cpus=spec.size.cpus, memory=size)
        _log.info("a host is asked for", extra=fields)
        self._put(job)

    async def _end(self, job: Job) -> None:
        await self._api.stop(job.id)
        self._changes += 1
        self._ending[job.id] = self._clock()

    def _put(self, job: Job) -> None:
        self._changes += 1
        self._since[job.id] = self._clock()
        if self._jobs is not None:
            self._jobs = {**self._jobs, job.id: job}

    def _drop(self, job: Job) -> None:
        self._changes += 1
        self._jobs = {key: one for key, one in (self._jobs or {}).items() if key != job.id}


async def _tried(work: Awaitable[None]) -> str:
    """Do a part of the work; return why it has failed and is to be tried again, or nothing."""
    try:
        await work
    except ClusterAway as error:
        return str(error)
    return ""
