"""What a token endpoint says when it refuses, without the proof that it was given."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import pytest

from modelplane.adapters.providers.credentials.oauth import fetch_token
from modelplane.adapters.providers.errors import CredentialRefused
from modelplane.adapters.providers.http.transport import tell_nobody
from modelplane.adapters.providers.types import HttpRequest

SECRET = 'a/"secret"~'


@dataclass
class Answer:
    status: int
    data: bytes
    secrets: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    async def read(self) -> bytes:
        return self.data

    body = read

    def close(self) -> None:
        pass


class Talkative:
    """Refuses every request, and repeats it."""

    async def send(self, request: HttpRequest, stale: Callable[[], None] = tell_nobody) -> Answer:
        del stale
        form = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
        return Answer(400, json.dumps({"error": "invalid_client", "given": form}).encode())


async def test_a_refusal_does_not_repeat_the_proof() -> None:
    form = {"client_id": "me", "client_secret": SECRET}
    with pytest.raises(CredentialRefused) as caught:
        await fetch_token(Talkative(), "p", "https://h/token", form, "client_secret", 0)
    given = {"client_id": "me", "client_secret": "[redacted]"}
    assert caught.value.detail == {"error": "invalid_client", "given": given}
    assert SECRET not in repr(caught.value.__context__)
