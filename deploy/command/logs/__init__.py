"""The command `modelplane logs`: the calls of a deployment on this machine, one a line."""
