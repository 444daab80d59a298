"""Statements on hosted models: their groups of replicas, logs, demand and launchers."""
