"""The only package that issues SQL."""
