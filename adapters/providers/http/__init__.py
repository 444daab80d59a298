"""Calls to providers: what goes over the wire, and who sends it."""
