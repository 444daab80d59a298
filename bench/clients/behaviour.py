"""What each client does where a gateway depends on it, found out by running it inside Envoy.

`probed.py` calls, `witness.py` is called; `bench/__main__.py` shows the table.
"""

import asyncio
import ssl
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.clients.envoy import Running, running
from bench.clients.measurement import CLIENTS
from bench.clients.probed import ANSWERED
from bench.clients.witness import FLOOD_BYTES, Witness
from bench.http_client import HttpConnection, build_request
from bench.report import Table
from tests.adapters.providers.authority import Authority

# How long something is waited for that may never come.
_PATIENCE_SECONDS = 2.0
_WITHIN_SECONDS = 0.3


@dataclass(frozen=True)
class _Stage:
    """An Envoy with a client in it, and the providers that it can call."""

    envoy: Running
    plain: Witness
    # With a certificate for its name from a trusted authority; from another; for another name.
    trusted: Witness
    untrusted: Witness
    misnamed: Witness
    # Offers HTTP/2 as well.
    newer: Witness
    # Called only once no address may be connected to any more.
    guarded: Witness
    # Not in Envoy's configuration.
    unconfigured: Witness

    async def ask(self, path: str, target: str = "", **options: str) -> str:
        """Return what the application answers."""
        headers = {f"x-{name}": value for name, value in options.items()} | {"x-target": target}
        connection = await HttpConnection.open(self.envoy.url)
        message = build_request("POST", f"{self.envoy.url}{path}", headers, {})
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS * 2):
                return (await connection.request(message)).body.decode()
        except TimeoutError:
            return "no answer"
        finally:
            await connection.aclose()


async def examine() -> Table:
    """Return the table: a row for each question, a column for each client."""
    columns = [await answers_of(client) for client in CLIENTS]
    rows = [[question, *(answers[question] for answers in columns)] for question in _QUESTIONS]
    return Table("What the clients do inside Envoy", ("question", *CLIENTS), rows)


async def answers_of(client: str) -> dict[str, str]:
    """Return what one client does, by question."""
    answers = {}
    async with _staged(client) as stage:
        for question, find_out in _QUESTIONS.items():
            answers[question] = await find_out(stage)
    return answers


@asynccontextmanager
async def _staged(client: str) -> AsyncIterator[_Stage]:
    with tempfile.TemporaryDirectory(prefix="modelplane-clients-") as name:
        directory = Path(name)
        authority, stranger = Authority(), Authority("stranger")
        authorities = directory / "authorities.pem"
        authorities.write_bytes(authority.certificate)
        identities = (
            None,
            (authority.identity("localhost"), ["http/1.1"]),
            (stranger.identity("localhost"), ["http/1.1"]),
            (authority.identity("other.example"), ["http/1.1"]),
            (authority.identity("localhost"), ["h2", "http/1.1"]),
            None,
        )
        async with AsyncExitStack() as stack:
            witnesses = [
                await stack.enter_async_context(
                    Witness("localhost", _tls(directory, *identity)) if identity else Witness()
                )
                for identity in identities
            ]
            upstreams = [witness.url for witness in witnesses]
            envoy = await stack.enter_async_context(
                running(client, directory, "bench.clients.probed", upstreams, authorities)
            )
            witnesses.append(await stack.enter_async_context(Witness("localhost")))
            yield _Stage(envoy, *witnesses)


def _tls(directory: Path, identity: bytes, protocols: list[str]) -> ssl.SSLContext:
    file = directory / "identity.pem"
    file.write_bytes(identity)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    context.set_alpn_protocols(protocols)
    return context


async def _reuse(stage: _Stage) -> str:
    before = stage.plain.connections
    for _ in range(3):
        if (outcome := await stage.ask("/whole", f"{stage.plain.url}/answer")) != ANSWERED:
            return outcome
    return "reused" if stage.plain.connections <= before + 1 else "not reused"


async def _cancel_early(stage: _Stage) -> str:
    return await _cancel(stage, "/whole", "/silent")


async def _cancel_stream(stage: _Stage) -> str:
    return await _cancel(stage, "/stream", "/pause")


async def _cancel(stage: _Stage, path: str, target: str) -> str:
    witness = stage.plain
    witness.seen_request.clear()
    witness.seen_close.clear()
    # The caller's own request goes on, as it does when another provider is tried next.
    asking = asyncio.create_task(stage.ask(path, f"{witness.url}{target}", hold="1"))
    await witness.seen_request.wait()
    if path == "/stream":
        await stage.ask("/received")
    await stage.ask("/cancel")
    closed = await _comes(witness.seen_close)
    await stage.ask("/release")
    await asking
    return "closed" if closed else "goes on"


async def _slow(stage: _Stage) -> str:
    witness = stage.plain
    witness.seen_close.clear()
    target = f"{witness.url}/silent"
    options = {"within": str(_WITHIN_SECONDS), "hold": "1"}
    asking = asyncio.create_task(stage.ask("/whole", target, **options))
    closed = await _comes(witness.seen_close)
    await stage.ask("/release")
    return f"{_kind(await asking)}, {'closed' if closed else 'goes on'}"


async def _back_pressure(stage: _Stage) -> str:
    witness = stage.plain
    target = f"{witness.url}/flood"
    asking = asyncio.create_task(stage.ask("/stream", target, hold="1", pause="1"))
    await stage.ask("/received")
    taken = await _settled(lambda: witness.flooded)
    witness.seen_close.clear()
    await stage.ask("/cancel")
    await stage.ask("/release")
    await asking
    mib = taken / 1024 / 1024
    return f"none: took {mib:.0f} MiB" if taken >= FLOOD_BYTES else f"stops at {mib:.0f} MiB"


async def _settled(count: Callable[[], int]) -> int:
    """Return a number once it has not changed for a while."""
    while True:
        before = count()
        await asyncio.sleep(_PATIENCE_SECONDS / 4)
        if count() == before:
            return before


async def _trusted(stage: _Stage) -> str:
    return _kind(await stage.ask("/whole", f"{stage.trusted.url}/answer"))


async def _untrusted(stage: _Stage) -> str:
    return await _refused(stage, stage.untrusted)


async def _misnamed(stage: _Stage) -> str:
    return await _refused(stage, stage.misnamed)


async def _refused(stage: _Stage, witness: Witness) -> str:
    outcome = await stage.ask("/whole", f"{witness.url}/answer")
    return f"{_kind(outcome)}, {'heard' if witness.requests else 'unheard'}"


async def _http2(stage: _Stage) -> str:
    await stage.ask("/whole", f"{stage.newer.url}/answer", within=str(_PATIENCE_SECONDS))
    return str(stage.newer.protocols[0]) if stage.newer.protocols else "no connection"


async def _unconfigured(stage: _Stage) -> str:
    return _kind(await stage.ask("/whole", f"{stage.unconfigured.url}/answer"))


async def _guarded(stage: _Stage) -> str:
    await stage.ask("/refuse")
    outcome = await stage.ask("/whole", f"{stage.guarded.url}/answer")
    return f"{_kind(outcome)}, {'connected' if stage.guarded.connections else 'no connection'}"


async def _comes(event: asyncio.Event) -> bool:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _kind(outcome: str) -> str:
    if outcome == ANSWERED:
        return outcome
    return "ended in time" if outcome.startswith("TimeoutError") else "refused"


_QUESTIONS: dict[str, Callable[[_Stage], Awaitable[str]]] = {
    "connection after a whole answer": _reuse,
    "call cancelled before its headers": _cancel_early,
    "call cancelled amid a stream": _cancel_stream,
    "deadline, silent provider": _slow,
    "stream that is not read": _back_pressure,
    "TLS, trusted authority": _trusted,
    "TLS, unknown authority": _untrusted,
    "TLS, certificate for another name": _misnamed,
    "TLS, HTTP/2 on offer": _http2,
    "host that nobody configured": _unconfigured,
    "address that may not be connected to": _guarded,
}
