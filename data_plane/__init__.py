"""The data plane: stateless workers that answer inference requests from a snapshot."""
