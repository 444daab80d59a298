"""Outside technology: providers, the gRPC harness, telemetry. No business rules."""
