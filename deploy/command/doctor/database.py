"""Checks the database, and whether the master keys are here that sealed what is in it.

Before: `examination`. After: `control_plane.store`, `control_plane.secrets`.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from modelplane.adapters.shared.settings import read_environment
from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.secrets.custody import require_master_key
from modelplane.control_plane.secrets.keyring import opened_keyring
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.store.database import DatabaseUnusable, existing_database
from modelplane.control_plane.store.migrate import require_schema
from modelplane.deploy.command.doctor.findings import Finding, Level, Patient

_SECONDS = 10.0
_FAULTS = (asyncpg.PostgresError, asyncpg.InterfaceError)
_OLDEST = 130_000
_FEW_CONNECTIONS = 40
_EMPTY = "is empty."
_DATABASE, _KEY = "database", "master key"


def check_database(patient: Patient) -> Iterator[Finding]:
    """Find out whether the database answers with the schema of this release, and its secrets."""
    try:
        values = read_environment(Settings, patient.environ)
        settings = Settings(**values | {"data_dir": str(patient.directory)})
    except ValueError as error:
        yield Finding(_DATABASE, Level.PROBLEM, str(error), "correct the variable")
        return
    yield from asyncio.run(_collected(patient, settings))


async def _collected(patient: Patient, settings: Settings) -> list[Finding]:
    found = []
    if settings.database_url.startswith("postgres"):
        found = [one async for one in _server(patient, settings.database_url)]
    if not any(one.level == Level.PROBLEM for one in found):
        found += [one async for one in _content(settings)]
    return found


async def _server(patient: Patient, url: str) -> AsyncIterator[Finding]:
    place = urlsplit(url).netloc.rpartition("@")[2]
    try:
        offset, version, connections = await _ask(url)
    except (OSError, TimeoutError, ValueError, *_FAULTS) as error:
        yield Finding(
            _DATABASE,
            Level.PROBLEM,
            f"PostgreSQL at {place} cannot be used: {str(error) or 'it takes too long'}",
            "see that it runs, that MODELPLANE_DATABASE_URL names it, and that the user may log in",
        )
        return
    patient.offsets[f"PostgreSQL at {place}"] = offset
    yield _of_server(place, version, connections)


async def _ask(url: str) -> tuple[float, int, int]:
    """Return how far the server's clock is ahead, its version, and its connections."""
    # The asynchronous driver is named in the URL at times, which it does not read itself.
    plain = "postgresql://" + url.partition("://")[2]
    async with asyncio.timeout(_SECONDS):
        connection = await asyncpg.connect(plain)
        try:
            before = datetime.now(UTC)
            now = await connection.fetchval("SELECT clock_timestamp()")
            middle = before + (datetime.now(UTC) - before) / 2
            version = int(await connection.fetchval("SHOW server_version_num"))
            connections = int(await connection.fetchval("SHOW max_connections"))
        finally:
            connection.terminate()
    return (now - middle).total_seconds(), version, connections


def _of_server(place: str, version: int, connections: int) -> Finding:
    text = f"PostgreSQL {version // 10_000} at {place} takes {connections} connections"
    if version < _OLDEST:
        advice = f"upgrade it to {_OLDEST // 10_000} or newer"
        return Finding(_DATABASE, Level.WARNING, text, advice)
    if connections < _FEW_CONNECTIONS:
        advice = "raise max_connections: each control plane uses up to 20"
        return Finding(_DATABASE, Level.WARNING, text, advice)
    return Finding(_DATABASE, Level.OK, text)


async def _content(settings: Settings) -> AsyncIterator[Finding]:
    file = Path(settings.data_dir) / "modelplane.db"
    if not settings.database_url and not file.exists():
        yield Finding(_DATABASE, Level.OK, f"{file} is made at the first start")
        yield Finding(_KEY, Level.OK, "is made at the first start, unless a setting names one")
        return
    try:
        async with existing_database(settings.url) as database:
            await require_schema(database)
            yield Finding(_DATABASE, Level.OK, "it has the schema of this release")
            async with opened_keyring(settings) as keyring:
                lost = [one.strip() for one in settings.lost_master_keys.split(",")]
                known = await require_master_key(database, keyring, lost)
    except (DatabaseUnusable, StoreUnavailable) as error:
        yield _of_schema(str(error))
    except (ValueError, OSError) as error:
        advice = "put the keys back from where you keep them, apart from copies of the database"
        yield Finding(_KEY, Level.PROBLEM, str(error), advice)
    else:
        yield _of_keys(len(known))


def _of_schema(message: str) -> Finding:
    if message.endswith(_EMPTY):
        text = f"{message.rstrip('.')}; the first start makes what is needed"
        return Finding(_DATABASE, Level.OK, text)
    return Finding(_DATABASE, Level.PROBLEM, message, "see docs/operating/upgrading.md")


def _of_keys(count: int) -> Finding:
    if not count:
        return Finding(_KEY, Level.OK, "none yet, and nothing is sealed")
    return Finding(
        _KEY,
        Level.OK,
        f"{count} master key{'s, which open' if count > 1 else ', which opens'} all that is sealed",
    )
