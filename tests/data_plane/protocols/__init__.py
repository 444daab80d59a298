"""Native protocols."""
