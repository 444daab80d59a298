"""Composition root of the launcher: runs until it is told to stop."""
