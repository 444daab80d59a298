"""Statements on secrets and on everything else that is sealed."""
