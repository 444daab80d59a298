"""Builds the environments that models run in, each once."""
