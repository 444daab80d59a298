"""Model registries: which models there are, what they say of themselves, and their files."""
