"""The `modelplane` command and what its subcommands do."""
