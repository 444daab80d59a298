"""Quota that workers lease."""
