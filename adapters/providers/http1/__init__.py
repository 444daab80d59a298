"""The HTTP/1.1 client of the data plane: pooled, guarded, streamed."""
