"""The processes of a deployment: started, put in each other's place, stopped in order.

`supervisor.py` starts and stops them, `renewal.py` replaces some; `plan.py` describes each.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable

from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local import greeting
from modelplane.deploy.local.child import Child, ChildSpec
from modelplane.deploy.local.envoy_admin import EnvoyAdmin
from modelplane.deploy.local.plan import (
    CONTROL_PLANE,
    ENVOY,
    LAUNCHER,
    PAYLOAD_WRITER,
    REGISTRY,
    Plan,
    listen_of,
)

# Beyond the time that a part gives the calls in flight.
_GRACE_SECONDS = 5.0
_HURRIED_SECONDS = 1.0
_PUBLISH_SECONDS = 1.0


class Parts:
    """The running processes.

    Attributes:
        children: Those that serve, by name.
        admin: Envoy's admin page.
    """

    def __init__(
        self,
        plan: Plan,
        public: Address,
        tasks: asyncio.TaskGroup,
        say: Callable[[str], None],
        hurry: asyncio.Event,
    ) -> None:
        """Start nothing yet.

        Args:
            plan: Describes them.
            public: Address under which the public port can be reached from here.
            tasks: What keeps them running.
            say: Prints one line for the user.
            hurry: Set when the user will not wait for the calls in flight.
        """
        self.children: dict[str, Child] = {}
        self.admin = EnvoyAdmin(plan.admin)
        self._hurry = hurry
        self._plan = plan
        self._public = public
        self._tasks = tasks
        self._say = say
        self._is_unpublished = False
        # Those that were replaced, until they have ended.
        self._replaced: dict[Child, asyncio.Task[None]] = {}

    async def start_all(self) -> None:
        """Start each part; the planes first, which take longest, while Envoy's files are written.

        Raises:
            OSError: The disk does not take them.
        """
        # Each tells of its start, which names all.
        self.children = {spec.name: self._new_child(spec) for spec in self._plan.specs()}
        for name, child in self.children.items():
            if name != ENVOY:
                self._tasks.create_task(child.supervise())
        await asyncio.to_thread(write_files, self._plan)
        self._tasks.create_task(self.children[ENVOY].supervise())

    def start_launcher(self) -> None:
        """Start the launcher, which nobody needs before there is a request."""
        self.add(self._plan.launcher())

    def start_payload_writer(self) -> None:
        """Start what writes payload tables, which nobody waits for."""
        self.add(self._plan.payload_writer())

    def add(self, spec: ChildSpec) -> Child:
        """Start a part that the others do not wait for."""
        self.children[spec.name] = child = self.start(spec)
        return child

    async def keep_published(self) -> None:
        """Publish again what a full disk did not take, until cancelled."""
        while True:
            await asyncio.sleep(_PUBLISH_SECONDS)
            if self._is_unpublished:
                self._publish()

    def start(self, spec: ChildSpec) -> Child:
        """Start a process that does not serve yet."""
        child = self._new_child(spec)
        self._tasks.create_task(child.supervise())
        return child

    def put_in_place(self, child: Child) -> Child:
        """Let a process be the part whose name it has; return the one that was, and is to end."""
        old = self.children[child.spec.name]
        self.children[child.spec.name] = child
        self._replaced[old] = task = self._tasks.create_task(old.let_end())
        task.add_done_callback(lambda _: self._replaced.pop(old))
        self._publish()
        return old

    def ends(self, name: str) -> bool:
        """Return whether a process that was replaced has not ended yet."""
        return any(child.spec.name == name for child in self._replaced)

    def tell_envoy(self, workers: Iterable[ChildSpec]) -> None:
        """Let Envoy send requests to these workers, and to no others."""
        _tell_envoy(self._plan, workers)

    def workers(self) -> list[ChildSpec]:
        """Return the workers that serve."""
        return [self.children[name].spec for name in self._plan.worker_names]

    async def stop(self, child: Child) -> None:
        """Stop a process once it has ended its calls, or their time is over."""
        seconds = self._plan.options.drain_seconds + _GRACE_SECONDS
        await child.stop(_HURRIED_SECONDS if self._hurry.is_set() else seconds)

    async def shut_down(self) -> None:
        """Let the requests in flight end, and stop all in the order in which these pass them."""
        children, plan = self.children, self._plan
        replaced = list(self._replaced)
        await asyncio.gather(self._drain(), self._until_ended())
        envoys = [child for child in (*replaced, children[ENVOY]) if child.spec.name == ENVOY]
        await asyncio.gather(*(child.stop(_GRACE_SECONDS) for child in envoys))
        workers = [child for child in replaced if child.spec.name != ENVOY]
        workers += [children[name] for name in plan.worker_names]
        await asyncio.gather(*map(self.stop, workers))
        last = (CONTROL_PLANE, LAUNCHER, PAYLOAD_WRITER, REGISTRY)
        rest = [name for name in last if name in children]
        await asyncio.gather(*(self.stop(children[name]) for name in rest))
        with contextlib.suppress(OSError):
            plan.data_dir.state_file.unlink(missing_ok=True)
        if hot_restart := plan.hot_restart(0):
            hot_restart.shared_memory.unlink(missing_ok=True)

    async def _drain(self) -> None:
        if self.children[ENVOY].pid is not None:
            await self.admin.drain(self._plan.options.drain_seconds, self._hurry)

    async def _until_ended(self) -> None:
        """Wait for what was replaced: how much an Envoy has in flight then cannot be seen."""
        if not self._replaced:
            return
        hurried = asyncio.ensure_future(self._hurry.wait())
        ended = asyncio.gather(*self._replaced.values())
        seconds = self._plan.options.drain_seconds
        await asyncio.wait((hurried, ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()

    def _new_child(self, spec: ChildSpec) -> Child:
        return Child(spec, self._say, self._publish)

    def _publish(self) -> None:
        data_dir = self._plan.data_dir
        try:
            data_dir.write_state(greeting.state(self._plan, self._public, self.children))
        except OSError as error:
            # A full disk must not end what still serves.
            if not self._is_unpublished:
                self._say(f"{data_dir.state_file} is out of date: {error.strerror}")
            self._is_unpublished = True
        else:
            self._is_unpublished = False


def write_files(plan: Plan) -> None:
    """Write what Envoy reads at its start.

    Raises:
        OSError: The disk does not take it.
    """
    # Imported here: the planes start before it is.
    from modelplane.deploy.envoy.config import render, render_secret  # noqa: PLC0415

    data_dir = plan.data_dir
    data_dir.write(data_dir.envoy_file, render(plan.envoy_options()))
    if plan.options.tls:
        data_dir.write(data_dir.sds_file, render_secret(plan.options.tls))
    _tell_envoy(plan, map(plan.worker, plan.worker_names))


def _tell_envoy(plan: Plan, workers: Iterable[ChildSpec]) -> None:
    from modelplane.deploy.envoy.config import render_workers  # noqa: PLC0415 - see `write_files`

    data_dir = plan.data_dir
    data_dir.write(data_dir.eds_file, render_workers([listen_of(spec) for spec in workers]))
