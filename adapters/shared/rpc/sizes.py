"""How large a request may be, at each of the doors that it comes through."""

_MIB = 1024 * 1024

# Of the REST API: Envoy (`deploy/envoy`) and the workers refuse larger ones in the same words.
MAX_BODY_BYTES = 16 * _MIB
BODY_TOO_LARGE = (
    f"The request body is too large: at most {MAX_BODY_BYTES // _MIB} MiB are accepted."
)
# Where nobody has to say who they are: a form with a grant and a credential.
MAX_ANONYMOUS_BODY_BYTES = 16 * 1024
ANONYMOUS_BODY_TOO_LARGE = (
    f"The request body is too large: at most {MAX_ANONYMOUS_BODY_BYTES // 1024} KiB are accepted."
)
# A message adds its own framing.
MAX_MESSAGE_BYTES = MAX_BODY_BYTES + _MIB
# Envoy admits 48 KiB of headers, and adds some.
MAX_HEAD_BYTES = 64 * 1024
