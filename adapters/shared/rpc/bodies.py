"""How large the body of a request may be: what Envoy admits, the planes take."""

MAX_REQUEST_BYTES = 16 * 1024 * 1024
TOO_LARGE = f"The request body is too large: at most {MAX_REQUEST_BYTES >> 20} MiB are accepted."
