"""How modelplane is installed: the locks, what is built, and the script that makes `.venv`."""
