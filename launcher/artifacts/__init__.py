"""Keeps the files of models on this machine."""
