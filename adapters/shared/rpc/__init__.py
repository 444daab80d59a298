"""The gRPC harness that both planes share."""
