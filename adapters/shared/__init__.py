"""What both planes, and no provider, use of outside technology: gRPC, TLS, tokens, telemetry."""
