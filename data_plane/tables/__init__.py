"""Payload tables: what workers have recorded, written to Delta tables by a process of its own."""
