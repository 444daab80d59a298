"""What Envoy does when connections or memory run out: it sheds, early and in order.

https://www.envoyproxy.io/docs/envoy/latest/configuration/operations/overload_manager/overload_manager.
Used by `config.py`; `local_replies.py` words what is shed.
"""

from modelplane.deploy.envoy.clusters import Block

_MONITORS = "envoy.resource_monitors"
_HEAP = f"{_MONITORS}.fixed_heap"
_MIB = 1024 * 1024
# Shares of the memory: connections without a request go first, then the HTTP/2 streams that hold
# most, and only then are requests refused, before anything of their bodies is kept. Connections are
# not: whoever is not let in waits in silence instead of being told to come back. Of HTTP/1.1 Envoy
# does not know what a request holds: from there on it ends those that bodies still arrive for, the
# more surely the less room there is, and so the larger bodies first.
CLOSE_IDLE, RESET_LARGEST, REFUSE_REQUESTS, FULL = 0.80, 0.85, 0.92, 1.0
# Streams that hold less than so many bytes, as a power of two, are not worth a reset.
_WORTH_RESETTING = 20


def build_overload(max_connections: int, max_heap_mib: int) -> Block:
    """Return the parts of the bootstrap that bound connections and memory.

    Args:
        max_connections: Of clients, all together.
        max_heap_mib: Memory near which Envoy sheds.
    """
    return {
        "overload_manager": {
            "refresh_interval": "0.1s",
            "resource_monitors": [_connections(max_connections), _heap(max_heap_mib)],
            "buffer_factory_config": {
                "minimum_account_to_track_power_of_two": _WORTH_RESETTING,
            },
            "actions": [
                _at("shrink_heap", CLOSE_IDLE),
                _at("close_idle_http_connections", CLOSE_IDLE),
                _between("reset_high_memory_stream", RESET_LARGEST, REFUSE_REQUESTS),
                _at("stop_accepting_requests", REFUSE_REQUESTS),
            ],
            "loadshed_points": [_shed("http1_server_abort_dispatch", REFUSE_REQUESTS, FULL)],
        }
    }


def _connections(most: int) -> Block:
    return {
        "name": f"{_MONITORS}.global_downstream_max_connections",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.resource_monitors"
            ".downstream_connections.v3.DownstreamConnectionsConfig",
            "max_active_downstream_connections": most,
        },
    }


def _heap(mebibytes: int) -> Block:
    return {
        "name": _HEAP,
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.resource_monitors"
            ".fixed_heap.v3.FixedHeapConfig",
            "max_heap_size_bytes": mebibytes * _MIB,
        },
    }


def _at(action: str, share: float) -> Block:
    return _action(action, {"threshold": {"value": share}})


def _between(action: str, begins: float, full: float) -> Block:
    return _action(action, _scaled(begins, full))


def _action(action: str, trigger: Block) -> Block:
    return {"name": f"envoy.overload_actions.{action}", "triggers": [{"name": _HEAP, **trigger}]}


def _shed(point: str, begins: float, full: float) -> Block:
    trigger = {"name": _HEAP, **_scaled(begins, full)}
    return {"name": f"envoy.load_shed_points.{point}", "triggers": [trigger]}


def _scaled(begins: float, full: float) -> Block:
    return {"scaled": {"scaling_threshold": begins, "saturation_threshold": full}}
