"""Load and faults against a real deployment: real processes, real Envoy, counted losses."""
