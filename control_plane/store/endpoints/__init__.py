"""Statements on endpoints: their versions, changes, rollouts and metrics."""
