"""Whether the launcher can run more hosted models: asked before a version is stored.

Before: `endpoints.lifecycle`. After: `store.hosting`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modelserving.launcher.v1.launcher_service_pb2 import Capacity
from modelserving.store.v1.hosting_pb2 import HostedModel

from modelplane.adapters.shared.byte_counts import in_words
from modelplane.control_plane.errors import InvalidParameter, LauncherAway
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.hosting import groups, launchers

DEFAULT_POOL = "default"


@dataclass(frozen=True, slots=True)
class _Need:
    memory: int
    gpus: int


class FreeCapacity:
    """What the launcher of a pool has left.

    Args:
        clock: The time by which leases end.
        pool: The pool.
    """

    def __init__(self, clock: SharedClock, pool: str = DEFAULT_POOL) -> None:
        self._clock = clock
        self._pool = pool

    async def require(self, session: Session, hosted: Sequence[HostedModel]) -> bool:
        """Check that the groups of a version fit; return whether all of them serve already.

        Raises:
            LauncherAway: There is no launcher.
            InvalidParameter: They do not fit; the message says what is free.
        """
        stored = {group.id: group for group in await groups.load(session, None)}
        new = [model for model in hosted if not _runs(stored.get(model.group_id))]
        if not new:
            return all(stored[model.group_id].serves for model in hosted)
        capacity = await self._capacity(session)
        others = stored.keys() - {model.group_id for model in new}
        used = _sum((stored[key].model, stored[key].desired) for key in others)
        _require_fits(new, used, capacity)
        return False

    async def _capacity(self, session: Session) -> Capacity:
        launcher = await launchers.read_launcher(session, self._pool)
        # That none has ever been there may pass too: it starts after the control plane.
        if launcher is None or launcher.lease_until_ms <= await self._clock.now_ms(session):
            raise LauncherAway(
                "No launcher is connected that would run the models; try again soon, or let the "
                "operator start one (`modelplane launcher`)."
            )
        if launcher.capacity is None:
            raise LauncherAway("The launcher has just connected, and not said yet what it has.")
        return launcher.capacity


def _runs(group: groups.StoredGroup | None) -> bool:
    return group is not None and not group.has_ended


def _sum(wanted: Iterable[tuple[HostedModel, int]]) -> _Need:
    sizes = [(model.size, replicas) for model, replicas in wanted]
    return _Need(
        memory=sum(size.memory_bytes * replicas for size, replicas in sizes),
        gpus=sum(size.gpus * replicas for size, replicas in sizes),
    )


def _require_fits(new: Sequence[HostedModel], used: _Need, capacity: Capacity) -> None:
    # As many as are started at first.
    need = _sum((model, max(1, model.scale.min_replicas)) for model in new)
    free_memory = max(0, capacity.memory_bytes - used.memory)
    if need.memory > free_memory:
        raise InvalidParameter(
            f"{_named(new)} {in_words(need.memory)} of memory, and {in_words(free_memory)} of "
            f"{in_words(capacity.memory_bytes)} are free; choose a smaller workload_size or "
            "workload_type, delete an endpoint, or let the operator give the launcher more."
        )
    for model in new:
        _require_device(model, capacity)
    free_gpus = max(0, capacity.gpus - used.gpus)
    if need.gpus > free_gpus:
        raise InvalidParameter(
            f"{_named(new)} {need.gpus} GPUs, and {free_gpus} of {capacity.gpus} are free; choose "
            "another workload_type, or delete an endpoint."
        )


def _require_device(model: HostedModel, capacity: Capacity) -> None:
    """Refuse what no launcher could ever run: waiting for it would not help."""
    size = model.size
    if not size.gpus or (capacity.gpus and not capacity.devices):
        return
    fitting = [
        device
        for device in capacity.devices
        if size.gpu_type.lower() in device.name.lower()
        and device.memory_bytes >= size.gpu_memory_bytes
    ]
    if len(fitting) < size.gpus:
        kind = f" {size.gpu_type}" if size.gpu_type else ""
        memory = f" with {in_words(size.gpu_memory_bytes)} each" if size.gpu_memory_bytes else ""
        raise InvalidParameter(
            f"Each replica of served entity '{model.served_entity_name}' needs {size.gpus}{kind} "
            f"GPUs{memory}; the launcher's machine has {_devices(capacity)}. Choose another "
            "workload_type, or let the operator connect a launcher that has them."
        )


def _devices(capacity: Capacity) -> str:
    named = [f"{one.name} with {in_words(one.memory_bytes)}" for one in capacity.devices]
    return ", ".join(f"{named.count(name)} {name}" for name in dict.fromkeys(named)) or "no GPU"


def _named(models: Sequence[HostedModel]) -> str:
    names = ", ".join(f"'{model.served_entity_name}'" for model in models)
    if len(models) == 1:
        return f"Served entity {names} needs"
    return f"Served entities {names} need"
