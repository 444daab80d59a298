"""Python's collector of garbage, kept from what lives as long as the process."""

import gc

# Python's own is 700.
_COLLECT_AFTER_ALLOCATIONS = 50_000


def tune_garbage_collection() -> None:
    """Collect rarely, and never what exists by now.

    A request leaves no cycles behind, so collecting more often finds nothing: it took an eighth of
    a worker's time. And to look through what 10,000 endpoints are in memory took a control plane a
    tenth of a second, in which it answered nobody.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER_ALLOCATIONS)
