"""What both planes use of outside technology, and no provider knows: gRPC, TLS, tokens, telemetry."""
