"""The whole system through Envoy, driven by the clients that its users have."""
