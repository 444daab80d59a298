"""Limits: admission from leased quota, and reservations of tokens."""
