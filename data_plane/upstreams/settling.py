"""What comes of a stream's response after the stream has ended.

Used by `relay.py` and `hosted_relay.py`.
"""

import asyncio

from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.http.transport import HttpResponse
from modelplane.data_plane.upstreams.deadlines import Deadlines

# Who streams ends the body right after its last event; waiting for that keeps the connection.
_SECONDS = 0.1


async def settle(response: HttpResponse, deadlines: Deadlines) -> None:
    """Read to the end of the body, if it is near, so that the connection can be used again.

    The caller has the whole answer, and some leave as soon as they have: whatever happens now, the
    call was answered.
    """
    try:
        with deadlines.within(_SECONDS):
            while await response.read():
                pass
    except (TimeoutError, AdapterError, asyncio.CancelledError):
        return
