"""What both planes use of outside technology, whoever the provider: gRPC, TLS, tokens, logs."""
