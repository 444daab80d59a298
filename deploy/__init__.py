"""Starting the system: the command line, Envoy, and everything on one machine."""
