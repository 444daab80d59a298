"""Upstreams: whom to ask, how often, and how their answers come back."""
