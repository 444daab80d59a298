"""Benchmark of modelplane beside other gateways: `make bench-peers`."""
