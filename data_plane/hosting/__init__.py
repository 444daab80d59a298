"""Hosted models: which replicas there are, who is asked, who waits, and what is told of it."""
