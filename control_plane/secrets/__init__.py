"""Secrets: kept in scopes, sealed at rest, referred to by configurations."""
