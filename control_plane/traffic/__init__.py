"""The traffic of endpoints: its course, and what of their limits is used."""
