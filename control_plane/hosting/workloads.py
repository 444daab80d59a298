"""What hosted models may use: machines by workload type, and replicas by workload size.

An operator maps the types that the API names to what there is (MODELPLANE_WORKLOAD_TYPES).
Before: `entity_rules`, `pinning`.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson
from modelserving.launcher.v1.launcher_service_pb2 import ReplicaSize
from modelserving.store.v1.hosting_pb2 import ScalePolicy
from modelserving.v1.endpoint_pb2 import ServedEntity

from modelplane.adapters.shared.byte_counts import parse_bytes

DEFAULT_TYPE = "CPU"
DEFAULT_SIZE = "Small"
# Concurrent requests that each size stands for.
SIZES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"Small": (4, 4), "Medium": (8, 16), "Large": (16, 64)}
)

_GIB = 1024**3
_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_FIELDS = {"cpus", "memory", "gpus", "concurrency", "gpu_type", "gpu_memory"}
_MOST = 1024
_LONGEST_TYPE = 64


def _size(cpus: float, memory: int, gpus: int = 0, concurrency: int = 4) -> ReplicaSize:
    return ReplicaSize(cpus=cpus, memory_bytes=memory, gpus=gpus, concurrency=concurrency)


@dataclass(frozen=True, slots=True)
class Workloads:
    """The workload types of a deployment: what one replica of each may use."""

    types: Mapping[str, ReplicaSize]

    def size_of(self, entity: ServedEntity) -> ReplicaSize:
        """Return what one replica of an entity may use; its rules have been checked."""
        return self.types[entity.workload_type]

    def scale_of(self, entity: ServedEntity) -> ScalePolicy:
        """Return how many replicas an entity may have; its rules have been checked."""
        least, most = _concurrency_of(entity)
        each = self.size_of(entity).concurrency
        return ScalePolicy(
            min_replicas=max(1, math.ceil(least / each)),
            max_replicas=max(1, math.ceil(most / each)),
            scale_to_zero=entity.scale_to_zero_enabled,
        )


DEFAULT_WORKLOADS = Workloads(
    {
        DEFAULT_TYPE: _size(1, _GIB),
        "CPU_MEDIUM": _size(2, 4 * _GIB),
        "CPU_LARGE": _size(4, 8 * _GIB),
    }
)


def parse_workloads(text: str) -> Workloads:
    """Return the workload types of a file: JSON, by name.

    Each has `cpus`, `memory` such as `"4GiB"` or `"512MiB"`, and, where they are not 0 and 4,
    `gpus` and `concurrency`: how many requests one replica answers at a time. `gpu_type` is a word
    in the name of each of its GPUs, such as `"T4"`, and `gpu_memory` what each has at least.

    Raises:
        ValueError: It has another form; the text says what is wrong.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(document, dict) or DEFAULT_TYPE not in document:
        raise ValueError(f"not an object with the workload types, {DEFAULT_TYPE} among them")
    return Workloads({name: _parse_type(name, given) for name, given in document.items()})


def _concurrency_of(entity: ServedEntity) -> tuple[int, int]:
    if entity.HasField("max_provisioned_concurrency"):
        return entity.min_provisioned_concurrency, entity.max_provisioned_concurrency
    return SIZES[entity.workload_size]


def _parse_type(name: str, given: object) -> ReplicaSize:
    if not _NAME.fullmatch(name):
        raise ValueError(f"'{name[:100]}' is no name of a workload type: A to Z, 0 to 9 and '_'")
    if not isinstance(given, dict) or not {"cpus", "memory"} <= given.keys() <= _FIELDS:
        raise ValueError(
            f"{name} needs cpus and memory, and may have gpus and concurrency, gpu_type and "
            "gpu_memory"
        )
    size = _size(
        _number(name, "cpus", given["cpus"]),
        _memory(name, "memory", given["memory"]),
        _whole(name, "gpus", given.get("gpus", 0), 0),
        _whole(name, "concurrency", given.get("concurrency", 4), 1),
    )
    if not size.gpus and given.keys() & {"gpu_type", "gpu_memory"}:
        raise ValueError(f"{name}: gpu_type and gpu_memory need gpus")
    if "gpu_memory" in given:
        size.gpu_memory_bytes = _memory(name, "gpu_memory", given["gpu_memory"])
    kind = given.get("gpu_type", "")
    if not isinstance(kind, str) or len(kind) > _LONGEST_TYPE:
        raise ValueError(f"{name}: gpu_type must be a word in the name of a GPU, such as T4")
    size.gpu_type = kind
    return size


def _memory(name: str, field: str, value: object) -> int:
    try:
        count = parse_bytes(str(value))
    except ValueError as error:
        raise ValueError(f"{name}: {field} {error}") from None
    if not count:
        raise ValueError(f"{name}: {field} must be above 0")
    return count


def _number(name: str, field: str, value: Any) -> float:  # noqa: ANN401 - of a document
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST:
        raise ValueError(f"{name}: {field} must be a number above 0 and up to {_MOST}")
    return float(value)


def _whole(name: str, field: str, value: Any, least: int) -> int:  # noqa: ANN401 - of a document
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MOST:
        raise ValueError(f"{name}: {field} must be a whole number from {least} to {_MOST}")
    return value
