"""The user interface: its files, and the service that hands them out."""
