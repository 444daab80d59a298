"""Rules for served entities whose throughput is provisioned: in tokens a second or in model units.

Each refusal tells the user what to change; the text goes on after "Served entity 'NAME': ".
Before: `entity_rules`, `pinning`. After: `throughput`.
"""

import math

from modelserving.store.v1.hosting_pb2 import ScalePolicy
from modelserving.v1.endpoint_pb2 import EndpointConfigInput, ServedEntity

from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.hosting.throughput import Chunk

# The smallest number that the mirrored API sells, which is one replica here.
UNITS_PER_CHUNK = 50
# As many replicas as the largest concurrency has.
MAX_CHUNKS = 256
# Times as much as is provisioned, while there is demand and room for it.
BURST = 2
_MIN, _MAX, _UNITS = (
    "min_provisioned_throughput",
    "max_provisioned_throughput",
    "provisioned_model_units",
)
_SIZED = ("workload_size", "min_provisioned_concurrency", "max_provisioned_concurrency")


def is_provisioned(entity: ServedEntity) -> bool:
    """Tell whether the throughput of an entity is provisioned; zeros alone do not say so."""
    return bool(
        entity.min_provisioned_throughput
        or entity.max_provisioned_throughput
        or entity.provisioned_model_units
    )


def require_units(given: EndpointConfigInput) -> None:
    """Check that all entities are provisioned in model units.

    Raises:
        InvalidParameter: One is not, or there is none.
    """
    if not given.served_entities:
        raise InvalidParameter("config.served_entities is required; name at least one model.")
    for entity in given.served_entities:
        if not entity.provisioned_model_units:
            name = entity.name or entity.entity_name
            raise InvalidParameter(
                f"Served entity '{name}': {_UNITS} is required here; for tokens per second use "
                "/api/2.0/serving-endpoints."
            )


def check_throughput(entity: ServedEntity) -> None:
    """Check what can be without knowing the model.

    Raises:
        InvalidParameter: A rule is broken.
    """
    for name in _SIZED:
        if entity.HasField(name):  # type: ignore[arg-type]
            raise InvalidParameter(
                f"{name} sizes an entity by its concurrent requests, and this one has its "
                f"throughput provisioned; leave out {name}."
            )
    if entity.provisioned_model_units:
        _check_units(entity)
    else:
        _check_range(entity)


def check_burst(entity: ServedEntity) -> None:
    """Check that what may go beyond its throughput has it provisioned in model units.

    Raises:
        InvalidParameter: It has not.
    """
    if entity.burst_scaling_enabled and not entity.provisioned_model_units:
        raise InvalidParameter(
            f"burst_scaling_enabled is for a throughput in {_UNITS}, which is fixed without it; "
            f"leave it out, or raise {_MAX}."
        )


def scale_of(entity: ServedEntity, chunk: Chunk) -> ScalePolicy:
    """Return how many replicas an entity may have, and how many tokens a second.

    Args:
        entity: The entity, which `check_throughput` has passed.
        chunk: What one replica of its model does.

    Raises:
        InvalidParameter: The throughput is not in whole chunks, or too many.
    """
    if units := entity.provisioned_model_units:
        # At least one: a chunk of less than a token has none.
        throughput = max(1, units * chunk.tokens // UNITS_PER_CHUNK)
        replicas = math.ceil(units / UNITS_PER_CHUNK)
        times = BURST if entity.burst_scaling_enabled else 1
        return ScalePolicy(
            min_replicas=replicas,
            max_replicas=min(times * replicas, MAX_CHUNKS),
            scale_to_zero=may_be_none(entity),
            throughput_chunk=chunk.tokens,
            min_throughput=throughput,
            max_throughput=min(times * throughput, MAX_CHUNKS * chunk.tokens),
        )
    least, most = entity.min_provisioned_throughput, entity.max_provisioned_throughput
    for name, value in ((_MIN, least), (_MAX, most)):
        _check_multiple(name, value, chunk)
    return ScalePolicy(
        min_replicas=max(1, least // chunk.tokens),
        max_replicas=most // chunk.tokens,
        scale_to_zero=may_be_none(entity),
        throughput_chunk=chunk.tokens,
        min_throughput=least,
        max_throughput=most,
    )


def may_be_none(entity: ServedEntity) -> bool:
    """Tell whether an entity may have no replica while nobody asks: a minimum of 0 says so, too."""
    if entity.HasField("scale_to_zero_enabled") or entity.provisioned_model_units:
        return entity.scale_to_zero_enabled
    return not entity.min_provisioned_throughput


def _check_units(entity: ServedEntity) -> None:
    units = entity.provisioned_model_units
    if entity.min_provisioned_throughput or entity.max_provisioned_throughput:
        raise InvalidParameter(
            f"{_UNITS} and a throughput in tokens per second exclude each other; keep one of them."
        )
    if not 0 < units <= UNITS_PER_CHUNK * MAX_CHUNKS:
        raise InvalidParameter(
            f"{_UNITS} is {units}; it must be from 1 to {UNITS_PER_CHUNK * MAX_CHUNKS}."
        )


def _check_range(entity: ServedEntity) -> None:
    least, most = entity.min_provisioned_throughput, entity.max_provisioned_throughput
    if not entity.HasField("max_provisioned_throughput"):
        raise InvalidParameter(f"{_MIN} needs {_MAX} beside it; give both.")
    for name, value in ((_MIN, least), (_MAX, most)):
        if value < 0:
            raise InvalidParameter(f"{name} is {value}; it must not be below 0.")
    if least > most:
        raise InvalidParameter(
            f"{_MIN} is {least}, more than {_MAX}, which is {most}; lower the first or raise the "
            "second."
        )


def _check_multiple(name: str, value: int, chunk: Chunk) -> None:
    tokens = chunk.tokens
    if value % tokens == 0 and value <= MAX_CHUNKS * tokens:
        return
    guess = "estimated to do" if chunk.estimated else "measured to do"
    raise InvalidParameter(
        f"{name} is {value}; it must be a multiple of {tokens} tokens per second, which one "
        f"replica of the model is {guess}, and at most {MAX_CHUNKS * tokens} "
        "(get-model-optimization-info tells the step)."
    )
