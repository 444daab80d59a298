"""Our own client does inside Envoy what a gateway depends on."""

import pytest

from bench.clients.behaviour import answers_of
from modelplane.deploy.envoy.embedded import obstacle

NEEDED = {
    "connection after a whole answer": "reused",
    "call cancelled before its headers": "closed",
    "call cancelled amid a stream": "closed",
    "deadline, silent provider": "ended in time, closed",
    "TLS, trusted authority": "answered",
    "TLS, unknown authority": "refused, unheard",
    "TLS, certificate for another name": "refused, unheard",
    "TLS, HTTP/2 on offer": "http/1.1",
    "host that nobody configured": "answered",
    "address that may not be connected to": "refused, no connection",
}


@pytest.mark.skipif(bool(obstacle()), reason=obstacle())
async def test_it_does_what_is_needed() -> None:
    answers = await answers_of("own")
    assert answers.pop("stream that is not read").startswith("stops at ")
    assert answers == NEEDED
