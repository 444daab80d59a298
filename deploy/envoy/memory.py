"""How an Envoy gives memory back that it does not use; used by `config.py` and `replica.py`."""

from modelplane.deploy.envoy.clusters import Block

# A second: what a burst has taken is back within minutes, and steady load does not notice.
_RELEASED_BYTES = 1024 * 1024


def build_memory() -> Block:
    """Return the settings of the allocator, which a worker inside Envoy shares.

    By itself it keeps what it once had, in pieces that fit ever less of what is asked for.
    """
    return {"bytes_to_release": _RELEASED_BYTES, "memory_release_interval": "1s"}
