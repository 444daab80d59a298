"""Files that declare what a deployment has: `modelplane apply`, `diff` and `export`."""
