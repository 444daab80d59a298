"""Puts the control plane together and runs it; `__main__` tells it when to stop.

Two ports: the public API behind Envoy, and the workers' watch streams, which Envoy never reaches.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from modelplane.adapters.shared.rpc.server import Health, running
from modelplane.adapters.shared.rpc.tls import server_credentials
from modelplane.control_plane.secrets.encryption import Keyring
from modelplane.control_plane.server.api import start_api
from modelplane.control_plane.server.background import background
from modelplane.control_plane.server.internal import build_internal
from modelplane.control_plane.server.push import start_push
from modelplane.control_plane.server.vault import opened_vault
from modelplane.control_plane.settings import Settings


@dataclass(frozen=True)
class Ports:
    """Where the control plane listens."""

    api: int
    snapshot: int


@asynccontextmanager
async def serving(
    settings: Settings, keyring: Keyring, registry: CollectorRegistry
) -> AsyncIterator[Ports]:
    """Run the control plane and yield its ports; on leaving, drain and stop.

    Args:
        settings: Settings in force; the admin token must be set.
        keyring: Master keys, which wrap all secrets.
        registry: Where the metrics go.

    Raises:
        StoreUnavailable: The database does not answer.
        DatabaseUnusable: It is of another release, or damaged.
        ValueError: A setting is wrong.
        RuntimeError: An address cannot be listened on.
    """
    async with AsyncExitStack() as stack:
        vault = await stack.enter_async_context(opened_vault(settings, keyring))
        loops = await stack.enter_async_context(background())
        push = await start_push(settings, vault, registry, loops)
        loops.begin(partial(vault.sync.run, settings.secret_poll_seconds))
        health = Health()
        api = await start_api(settings, vault, push, health, registry, loops)
        internal = build_internal(settings, vault, push, health, registry, loops)
        credentials = server_credentials(settings.tls) if settings.tls else None
        snapshot_port = await stack.enter_async_context(
            running(internal, settings.snapshot_listen, 1.0, credentials)
        )
        # A watch stream never ends by itself, so it is not waited for.
        stack.callback(lambda: push.watchers.drop(list(push.watchers)))
        api_port = await stack.enter_async_context(
            running(api, settings.control_plane_listen, settings.drain_seconds)
        )
        # Whoever waits for changes is answered, so that the calls in flight are over soon.
        stack.callback(push.changes.close)
        await health.set_serving(serving=True)
        stack.push_async_callback(health.set_serving, serving=False)
        yield Ports(api_port, snapshot_port)
