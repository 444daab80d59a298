"""The configuration of Envoy, which turns REST into gRPC and balances it over the planes."""
