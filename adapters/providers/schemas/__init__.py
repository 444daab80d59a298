"""JSON Schemas, made what a stricter service takes: pure."""
