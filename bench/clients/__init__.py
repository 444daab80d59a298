"""Benchmark of HTTP clients in a worker's place inside Envoy: `make bench ARGS=clients`."""
