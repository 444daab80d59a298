"""The buckets in which both planes count durations of calls.

Workers fill them (`data_plane/telemetry/meters.py`), the control plane adds them up
(`control_plane/endpoints/totals.py`) and prints them (`control_plane/endpoints/metrics_text.py`).
"""

# Upper bounds, milliseconds. Counts are stored by their place here: append only, never change.
LATENCY_BOUNDS_MS = (
    *(5, 10, 25, 50, 100, 250, 500),
    *(1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 120_000, 300_000),
)
BUCKETS = len(LATENCY_BOUNDS_MS) + 1
