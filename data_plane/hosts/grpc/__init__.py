"""Carries gRPC calls, and the RPCs whose messages hold HTTP bodies."""
