"""Whether the launcher can run more hosted models: asked before a version is stored.

Before: `endpoints.lifecycle`. After: `store.hosting`.
"""

from collections.abc import Iterable, Sequence

from modelserving.launcher.v1.launcher_service_pb2 import Capacity, Device, ReplicaSize
from modelserving.store.v1.hosting_pb2 import HostedModel

from modelplane.adapters.shared.byte_counts import in_words
from modelplane.control_plane.errors import InvalidParameter, LauncherAway, StoreUnavailable
from modelplane.control_plane.hosting.engine_rules import PYFUNC, engines_of
from modelplane.control_plane.shared_clock import SharedClock
from modelplane.control_plane.store.database import UNWRITABLE, Database, Session
from modelplane.control_plane.store.hosting import groups, launchers

DEFAULT_POOL = "default"


class FreeCapacity:
    """What the launcher of a pool has left.

    Args:
        database: Where launchers renew their leases.
        clock: The time by which leases end.
        pool: The pool.
    """

    def __init__(self, database: Database, clock: SharedClock, pool: str = DEFAULT_POOL) -> None:
        self._database = database
        self._clock = clock
        self._pool = pool

    async def require(self, session: Session, hosted: Sequence[HostedModel]) -> bool:
        """Check that the groups of a version fit; return whether all of them serve already.

        Raises:
            LauncherAway: There is no launcher.
            StoreUnavailable: Whether there is one is not known, since it could not renew its lease.
            InvalidParameter: They do not fit; the message says what is free.
        """
        stored = {group.id: group for group in await groups.load(session, None)}
        new = [model for model in hosted if not _runs(stored.get(model.group_id))]
        if not new:
            return all(stored[model.group_id].serves for model in hosted)
        capacity = await self._capacity(session)
        others = stored.keys() - {model.group_id for model in new}
        running = [(stored[key].model, stored[key].desired) for key in others]
        for model in new:
            _require_engine(model, capacity)
            _require_device(model, capacity)
        _require_memory(new, running, capacity)
        _require_free_devices(new, running, capacity)
        return False

    async def _capacity(self, session: Session) -> Capacity:
        launcher = await launchers.read_launcher(session, self._pool)
        # That none has ever been there may pass too: it starts after the control plane.
        if launcher is None or launcher.lease_until_ms <= await self._clock.now_ms(session):
            if self._database.is_unwritable:
                raise StoreUnavailable(UNWRITABLE)
            raise LauncherAway(
                "No launcher is connected that would run the models; try again soon, or let the "
                "operator start one (`modelplane launcher`)."
            )
        if launcher.capacity is None:
            raise LauncherAway("The launcher has just connected, and not said yet what it has.")
        return launcher.capacity


def _runs(group: groups.StoredGroup | None) -> bool:
    return group is not None and not group.has_ended


def _memory_of(wanted: Iterable[tuple[HostedModel, int]]) -> int:
    return sum(model.size.memory_bytes * replicas for model, replicas in wanted)


def _at_first(model: HostedModel) -> int:
    """Return how many replicas of a model are started at first."""
    return max(1, model.scale.min_replicas)


def _require_engine(model: HostedModel, capacity: Capacity) -> None:
    # What a launcher does not say, it will say when it starts the model.
    if not capacity.engines or model.engine == PYFUNC:
        return
    if model.engine not in engines_of(capacity).on(model.size):
        raise InvalidParameter(
            f"Served entity '{model.served_entity_name}' is served by {model.engine}, which the "
            "launcher does not have for this workload_type; choose another one, or let the "
            "operator add it."
        )


def _require_memory(
    new: Sequence[HostedModel], running: Sequence[tuple[HostedModel, int]], capacity: Capacity
) -> None:
    need = _memory_of((model, _at_first(model)) for model in new)
    free = max(0, capacity.memory_bytes - _memory_of(running))
    if need > free:
        raise InvalidParameter(
            f"{_named(new)} {in_words(need)} of memory, and {in_words(free)} of "
            f"{in_words(capacity.memory_bytes)} are free; choose a smaller workload_size or "
            "workload_type, delete an endpoint, or let the operator give the launcher more."
        )


def _require_free_devices(
    new: Sequence[HostedModel], running: Sequence[tuple[HostedModel, int]], capacity: Capacity
) -> None:
    """Refuse what finds no free device, placed as launchers place: the smallest that will do."""
    # A launcher that does not say what they are has them all alike.
    free = sorted(capacity.devices, key=lambda one: one.memory_bytes)
    free = free or [Device()] * capacity.gpus
    alike = not capacity.devices
    for model, replicas in running:
        _place(free, model.size, model.size.gpus * replicas, alike=alike)
    for model in new:
        size, need = model.size, model.size.gpus * _at_first(model)
        fitting = sum(alike or _fits(one, size) for one in free)
        if need > fitting:
            raise InvalidParameter(
                f"{_named([model])} {need}{_kind(size)} GPUs{_each(size)}, and {fitting} of "
                f"{capacity.gpus} are free and fit; choose another workload_type, or delete an "
                "endpoint."
            )
        _place(free, size, need, alike=alike)


def _place(free: list[Device], size: ReplicaSize, count: int, *, alike: bool) -> None:
    """Take the first devices that fit, as many as there are of those."""
    for device in [one for one in free if alike or _fits(one, size)][:count]:
        free.remove(device)


def _fits(device: Device, size: ReplicaSize) -> bool:
    is_type = size.gpu_type.lower() in device.name.lower()
    return is_type and device.memory_bytes >= size.gpu_memory_bytes


def _kind(size: ReplicaSize) -> str:
    return f" {size.gpu_type}" if size.gpu_type else ""


def _each(size: ReplicaSize) -> str:
    return f" with {in_words(size.gpu_memory_bytes)} each" if size.gpu_memory_bytes else ""


def _require_device(model: HostedModel, capacity: Capacity) -> None:
    """Refuse what no launcher could ever run: waiting for it would not help."""
    size = model.size
    if not size.gpus or (capacity.gpus and not capacity.devices):
        return
    if sum(_fits(device, size) for device in capacity.devices) < size.gpus:
        raise InvalidParameter(
            f"Each replica of served entity '{model.served_entity_name}' needs {size.gpus}"
            f"{_kind(size)} GPUs{_each(size)}; the launcher's machine has {_devices(capacity)}. "
            "Choose another workload_type, or let the operator connect a launcher that has them."
        )


def _devices(capacity: Capacity) -> str:
    named = [f"{one.name} with {in_words(one.memory_bytes)}" for one in capacity.devices]
    return ", ".join(f"{named.count(name)} {name}" for name in dict.fromkeys(named)) or "no GPU"


def _named(models: Sequence[HostedModel]) -> str:
    names = ", ".join(f"'{model.served_entity_name}'" for model in models)
    if len(models) == 1:
        return f"Served entity {names} needs"
    return f"Served entities {names} need"
