"""Limits over several workers and control planes."""
