"""Serves one model over HTTP; runs in the model's own environment."""
