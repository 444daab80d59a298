"""Headers that a servicer adds to its answer, for example `cache-control`.

Set by servicers during a call; `interceptor` sends them, as it alone sends initial metadata.
"""

from contextvars import ContextVar

# Names, in small letters, and values, of the call under way.
answer_headers: ContextVar[tuple[tuple[str, str], ...]] = ContextVar("answer_headers", default=())
