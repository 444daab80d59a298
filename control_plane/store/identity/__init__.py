"""Statements on identities, and on what they prove themselves with."""
