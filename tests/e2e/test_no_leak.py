"""Marked credentials and prompts in every place that takes one: nobody ever sees them again.

Every public RPC is called in every way, to succeed and to fail; a new one is covered as soon as
`permission_table` has its row. Every new provider is, as soon as it has conformance cases, and
every new field for a credential, as soon as it has its name.
"""

import asyncio
import base64
import itertools
import json
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.json_format import MessageToDict

from modelplane.adapters.providers.registry import FACTORIES
from tests.adapters.providers.conformance import CASES, ProviderCase, cases_of
from tests.e2e.leaks import Search, forms, parts
from tests.e2e.permission_routes import (
    Answer,
    Caller,
    calling,
    name_of,
    public_methods,
    routes_of,
)
from tests.e2e.permission_table import CREATOR, ROWS
from tests.e2e.permission_world import World, populated
from tests.e2e.references import create_by_reference
from tests.e2e.rest import Json, Rest
from tests.e2e.system import run_system, wait_for
from tests.emulators.emulator import Emulator
from tests.emulators.fleet import Fleet
from tests.emulators.openai import OpenAiEmulator

_CREDENTIAL = re.compile(r"_plaintext$|^(string|bytes)_value$|password|client_secret$|^token$")
_MAX_DEPTH = 8
UNAUTHORIZED = 401
# Each credential, and each prompt, that is planted holds the same mark.
CREDENTIAL = f"marked-credential-{secrets.token_hex(8)}"
PROMPT = f"marked-prompt-{secrets.token_hex(8)}"
# What is shown once, to whoever made it.
METHODS = {name_of(method): method for method in public_methods()}
_PROMPTS = {"content", "text", "prompt", "input"}
_SHOWN_ONCE = re.compile(r'"(?:token_value|access_token|secret)": ?"([^"]{16,})"')


@dataclass
class Marked:
    """What was planted, beside the two marks below, and all answers."""

    credentials: set[str] = field(default_factory=set)
    numbers: Iterator[int] = field(default_factory=itertools.count)
    answers: list[tuple[str, bytes]] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    calls: int = 0

    def credential(self, what: str) -> str:
        """Return a new credential."""
        return f"{what}-{CREDENTIAL}-{next(self.numbers)}"

    def prompt(self) -> str:
        """Return a new prompt."""
        return f"{PROMPT}-{next(self.numbers)}"

    def note(self, call: str, answer: Answer) -> None:
        """Keep an answer without what it shows for the only time, which becomes a marker."""
        text = answer.text
        for shown in _SHOWN_ONCE.findall(text):
            self.credentials.add(shown)
            text = text.replace(shown, "")
        self.answers.append((call, f"{answer.status} {answer.headers} {text}".encode()))
        self.calls += 1


def paths_of(message: Descriptor, depth: int = 0) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Yield the path of each field for a credential, and of the one that refers to it instead."""
    for item in message.fields:
        if _CREDENTIAL.search(item.name):
            yield (item,)
            reference = message.fields_by_name.get(item.name.removesuffix("_plaintext"))
            if reference and reference is not item:
                yield (reference,)
        elif depth < _MAX_DEPTH and (kind := _own_type(item)):
            for path in paths_of(kind, depth + 1):
                yield (item, *path)


def _own_type(item: FieldDescriptor) -> Descriptor | None:
    kind = item.message_type
    return None if kind is None or kind.file.package.startswith("google.") else kind


def plant(request: Json, path: tuple[FieldDescriptor, ...], marker: str) -> Json:
    """Return a request with a marker in a field."""
    first, *rest = path
    value: object = marker
    if rest:
        inner = request.get(first.name)
        inner = inner[0] if isinstance(inner, list) and inner else inner
        value = plant(inner if isinstance(inner, dict) else {}, tuple(rest), marker)
        value = [value] if first.is_repeated else value
    elif first.type == first.TYPE_BYTES:
        value = base64.b64encode(marker.encode()).decode()
    others = first.containing_oneof.fields if first.containing_oneof else ()
    kept = {name: item for name, item in request.items() if name not in {o.name for o in others}}
    return {**kept, first.name: value}


async def test_nothing_leaks(
    tmp_path: Path, fleet: Fleet, provider: OpenAiEmulator, own_requests: None
) -> None:
    del own_requests
    pairs = ",".join(f"{origin}={stand_in}" for origin, stand_in in fleet.origins.items())
    settings = {"MODELPLANE_UPSTREAM_ORIGINS": pairs, "MODELPLANE_LOG_LEVEL": "debug"}
    # With two workers, it would not be known whose token a provider is sent.
    with run_system(tmp_path / "data", workers=1, settings=settings) as system:
        marked = Marked({system.token, CREDENTIAL})
        with Rest(system) as rest, populated(system, provider) as world:
            tokens = [token for token in world.tokens.values() if token]
            marked.credentials.update(tokens)
            for case in CASES:
                _create(rest, case, fleet, marked)
            async with calling(system) as caller:
                # Retries pause, and each provider's at the same time.
                await asyncio.gather(
                    *(
                        _query_all(caller, cases_of(provider), fleet, marked, system.token)
                        for provider in FACTORIES
                    )
                )
                for method in public_methods():
                    await _call(caller, method, world, marked, system.token)
            _send_foreign_headers(rest, marked)
            audited = rest.send("GET", "/api/2.0/audit-events?max_results=1000")
            assert audited.status_code == 200, audited.text
            marked.answers.append(("the audit log", audited.content))
        _check_requests(fleet, [system.token, *tokens, *marked.headers])
        # All that is logged of a request is there a moment after its answer; what is long by then
        # has moved aside.
        logs = system.data_dir / "logs"
        last = audited.headers["x-request-id"].encode()
        wait_for(lambda: any(last in log.read_bytes() for log in logs.glob("control-plane.log*")))
        credentials, prompts = Search(marked.credentials), Search([PROMPT])
        for place, content in marked.answers:
            credentials.look(place, content)
        for search in (credentials, prompts):
            await search.look_at_pages(system)
            search.look_at_files(system)
    # Once more without the write-ahead log, whose content is now in the database.
    for search in (credentials, prompts):
        search.look_at_files(system)
    found = credentials.found + prompts.found
    assert not found, "\n".join(map(str, found[:30]))
    assert marked.calls > 1000
    assert len(marked.credentials) > 40


@pytest.fixture
def own_requests(fleet: Fleet) -> Iterator[None]:
    """Let the emulators begin and end without faults and requests."""
    fleet.forget()
    yield
    fleet.forget()


def _create(rest: Rest, case: ProviderCase, fleet: Fleet, marked: Marked) -> None:
    """Create an endpoint of a case twice: with plain credentials, and with references to them."""
    model = case.model(fleet.emulators[case.provider].origin)
    given = MessageToDict(model, preserving_proto_field_name=True)
    for credential in _plain(given):
        marked.credentials.update(parts(credential))
    entity = {"name": "entity", "external_model": given}
    body = {"name": f"plain-{_slug(case)}", "config": {"served_entities": [entity]}}
    made = create_by_reference(rest, f"secret-{_slug(case)}", "entity", model)
    for answer in (rest.create(body), made):
        marked.answers.append((case.name, json.dumps(answer).encode()))


def _plain(config: Mapping[str, Any]) -> Iterator[str]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _plain(value)
        elif name.endswith("_plaintext"):
            yield str(value)


def _slug(case: ProviderCase) -> str:
    return re.sub(r"\W", "-", case.name)


async def _query_all(
    caller: Caller, cases: Sequence[ProviderCase], fleet: Fleet, marked: Marked, token: str
) -> None:
    """Query the cases of one provider in turn: each must know which request was its own."""
    for case in cases:
        await _query(caller, case, fleet, marked, token)


async def _query(
    caller: Caller, case: ProviderCase, fleet: Fleet, marked: Marked, token: str
) -> None:
    """Query both endpoints of a case, to succeed, and to fail with all that was sent repeated."""
    emulator = fleet.emulators[case.provider]
    routes = [one for one in routes_of(METHODS["InferenceService.Query"], streams=True) if one.verb]
    for name, route, status in itertools.product(
        ("plain", "secret"),
        [one for one in routes if "served" not in one.path],
        (200, 400, 500, UNAUTHORIZED),
    ):
        prompt = marked.prompt()
        if status != 200:
            # After a 401 another token may be fetched, and what is sent then is not known here.
            sent = "" if status == UNAUTHORIZED else _sent(emulator, case)
            marked.credentials.update(parts(sent))
            said = _repeating(emulator.error_body(status), f"{prompt} {sent}")
            emulator.fail(status=status, body=said)
        request = {"name": f"{name}-{_slug(case)}", "payload": _prompted(case.body, prompt)}
        marked.note(f"{case.name} {status}", await caller.call(route, request, token))
        emulator.faults.clear()


def _sent(emulator: Emulator, case: ProviderCase) -> str:
    """Return the credential of the request that a provider got last."""
    if case.provider == "amazon-bedrock":
        # A signature is none.
        return case.secret
    headers = {name.lower(): value for name, value in emulator.requests[-1].headers.items()}
    names = ("authorization", "x-api-key", "api-key")
    return next((headers[name].split()[-1] for name in names if name in headers), "")


def _repeating(error: object, said: str) -> Any:
    """Return a provider's error whose texts say what it was sent."""
    match error:
        case dict():
            return {
                name: f"{value}: {said}" if name == "message" else _repeating(value, said)
                for name, value in error.items()
            }
        case list():
            return [_repeating(item, said) for item in error]
    return error


def _prompted(query: Any, prompt: str) -> Any:
    """Return a query with a prompt in each place that takes one."""
    match query:
        case dict():
            return {
                name: prompt
                if isinstance(value, str) and name in _PROMPTS
                else _prompted(value, prompt)
                for name, value in query.items()
            }
        case list():
            return [_prompted(item, prompt) for item in query]
    return query


async def _call(
    caller: Caller, method: MethodDescriptor, world: World, marked: Marked, token: str
) -> None:
    """Call an RPC in every way: to succeed, as a stranger, and with credentials in it."""
    row = ROWS[name_of(method)]

    def request() -> Json:
        resolved: Json = _prompted(world.resolve(row.request, CREATOR), marked.prompt())
        return resolved

    for route in routes_of(method, streams=row.streams):
        for caller_token in (token, None, marked.credential("wrong-token")):
            marked.note(str(route), await caller.call(route, request(), caller_token))
        for path in paths_of(method.input_type):
            where = ".".join(one.name for one in path)
            marker = marked.credential(path[-1].name)
            planted = plant(request(), path, marker)
            marked.note(f"{route} with {where}", await caller.call(route, planted, token))
            # A reference that is none, which a caller may have taken for the place of the secret.
            broken = plant(request(), path, f"{{{{secrets/{marked.credential('reference')}}}}}")
            marked.note(f"{route} with {where}", await caller.call(route, broken, token))


def _send_foreign_headers(rest: Rest, marked: Marked) -> None:
    """Query with credentials for others, and what a client may say of itself."""
    body = {"messages": [{"role": "user", "content": marked.prompt()}]}
    for name in (
        "x-api-key",
        "api-key",
        "cookie",
        "proxy-authorization",
        "x-goog-api-key",
        "x-own",
    ):
        marker = marked.credential(name)
        marked.headers.append(marker)
        for path in (
            "/serving-endpoints/matrix-chat/invocations",
            "/api/2.0/serving-endpoints/none",
        ):
            method = "GET" if path.startswith("/api") else "POST"
            for own_page in ({}, {"x-ui-session": "1", "sec-fetch-site": "same-origin"}):
                headers = {name: marker} | own_page
                answer = rest.send(method, f"{path}?{marker}", body, headers=headers)
                marked.answers.append((f"{path} with {headers}", answer.content))


def _check_requests(fleet: Fleet, confidential: Sequence[str]) -> None:
    """Check that no provider was sent what callers authenticate with here."""
    received = 0
    for name, emulator in fleet.emulators.items():
        search = Search(confidential)
        for request in emulator.requests:
            search.look(name, f"{request.path} {request.query} {request.headers}".encode())
            search.look(name, request.raw)
            received += 1
        assert not search.found
    assert received > 100


def test_the_search_finds_every_form() -> None:
    marker = 'cred-"leak/mark+\\1234567890'
    for form in forms(marker):
        search = Search([marker])
        search.look("here", b"before " + form + b" after")
        assert search.found, form
    for shift in range(3):
        search = Search([marker])
        search.look("here", base64.b64encode(b"y" * shift + marker.encode() + b" and so on"))
        assert search.found, shift
