"""What a provider must have received: host, path, query, credentials and body of one request.

`test_examples.py` and `test_documented_fields.py` say it for each configuration.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.e2e.rest import Json
from tests.emulators.emulator import Recorded

# Headers of every request; what is in them is the provider's only in part.
_GENERAL = frozenset(
    {
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "user-agent",
        "x-modelplane-hops",
    }
)

CHAT: Json = {"messages": [{"role": "user", "content": "what is databricks"}], "max_tokens": 64}
COMPLETION: Json = {"prompt": "what is databricks", "max_tokens": 64}
EMBEDDING: Json = {"input": "what is databricks"}
QUERIES: Mapping[str, Json] = {
    "llm/v1/chat": CHAT,
    "llm/v1/completions": COMPLETION,
    "llm/v1/embeddings": EMBEDDING,
}


@dataclass(frozen=True, slots=True)
class Wire:
    """One request at a provider.

    Attributes:
        emulator: Provider whose emulator receives it.
        host: The `Host` header; empty: the emulator's own.
        path: Path of the URL.
        headers: All headers beside those of every request, as regular expressions.
        body: The whole body.
        query: The URL's query.
    """

    emulator: str
    host: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: Json
    query: Mapping[str, str] = field(default_factory=dict)

    def check(self, sent: Recorded, origin: str) -> None:
        """Assert that this is what was sent.

        Args:
            sent: The request at the emulator.
            origin: The emulator's origin.
        """
        headers = {name.lower(): value for name, value in sent.headers.items()}
        own = {name: value for name, value in headers.items() if name not in _GENERAL}
        assert headers["host"] == (self.host or origin.partition("://")[2])
        assert (sent.method, sent.path.partition("?")[0]) == ("POST", self.path)
        assert sent.query == self.query
        assert own.keys() == self.headers.keys()
        for name, pattern in self.headers.items():
            assert re.fullmatch(pattern, own[name]), name
        assert headers["content-type"] == "application/json"
        assert sent.body == self.body
