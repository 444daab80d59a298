"""Serving endpoints: made, changed, rolled out, read and granted."""
