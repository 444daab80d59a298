"""Clients of other providers' APIs, through Envoy."""
