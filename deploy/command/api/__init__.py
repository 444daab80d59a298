"""What every command has that talks to a deployment: where it is, HTTP, tables, failures."""
