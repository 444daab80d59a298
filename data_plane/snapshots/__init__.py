"""The configuration that a worker holds, and whether it is fit to serve from it."""
