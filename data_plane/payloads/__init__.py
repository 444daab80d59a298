"""Payloads: what endpoints with a table were asked and have answered, on its way to the table."""
