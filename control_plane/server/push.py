"""The parts that bring configuration to the workers, and changes to those who look.

Before: `serving`. After: `snapshots`, `store.notifications`.
"""

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.deployment.workers import Workers
from modelplane.control_plane.endpoints.change_watch import ChangeWatch
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.server.background import Background
from modelplane.control_plane.server.judges import default_judges
from modelplane.control_plane.server.vault import Vault
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.snapshots.cache import SnapshotCache
from modelplane.control_plane.snapshots.feed import Feed
from modelplane.control_plane.snapshots.laggards import Laggards
from modelplane.control_plane.snapshots.peers import NoPeers, PostgresqlPeers
from modelplane.control_plane.snapshots.rollout_driver import RolloutDriver, Timeouts
from modelplane.control_plane.snapshots.watchers import Watchers
from modelplane.control_plane.store.database import Database


@dataclass(frozen=True)
class Push:
    """What the workers hold, which of them are connected, and what is being rolled out."""

    cache: SnapshotCache
    feed: Feed
    watchers: Watchers
    rollout: RolloutDriver
    workers: Workers
    changes: ChangeWatch


async def start_push(
    settings: Settings, vault: Vault, registry: CollectorRegistry, background: Background
) -> Push:
    """Load what the workers are to hold, and keep it and the rollouts going.

    Args:
        settings: Settings in force.
        vault: Where everything is kept.
        registry: Where the metrics go.
        background: Runs the loops.

    Raises:
        StoreUnavailable: The database does not answer.
    """
    database = vault.database
    cache = SnapshotCache(database, _builder(settings, vault))
    await cache.load()
    replica_id = uuid.uuid4().hex
    watchers = Watchers(replica_id)
    peers = _peers(replica_id, database, cache, watchers)
    # Where there are endpoints there may be workers, which need a moment to reconnect.
    grace_seconds = settings.reconnect_grace_seconds if cache.holds_endpoints else 0.0
    timeouts = Timeouts(
        prepare_ms=int(settings.prepare_timeout_seconds * 1000),
        deploy_ms=int(settings.deploy_seconds * 1000),
    )
    rollout = RolloutDriver(
        database, watchers, peers, system_clock, cache.changed_at, timeouts=timeouts
    )
    feed = Feed(database, cache, settings.keep_events)
    laggards = Laggards(cache, watchers)
    _publish_gauges(cache, watchers, rollout, registry)
    for counter in (rollout.early_answers, laggards.dropped):
        registry.register(counter)

    changes = ChangeWatch(database, registry)
    for hint in (feed.hint, changes.hint):
        database.on_commit(hint)
    for hint in (rollout.hint, watchers.wake_all):
        cache.on_change(hint)
    watchers.on_move(rollout.moved)
    background.begin(feed.run, partial(rollout.run, grace_seconds), laggards.run, changes.run)
    if isinstance(peers, PostgresqlPeers):
        cache.on_change(peers.hint)
        watchers.on_move(peers.hint)
        hints = [feed.hint, rollout.hint, changes.hint]
        background.begin(peers.run, partial(_listen, database, hints, [rollout.moved]))
        background.at_end(peers.leave)
    workers = Workers(replica_id, cache, watchers, peers)
    return Push(cache, feed, watchers, rollout, workers, changes)


def _peers(
    replica_id: str, database: Database, cache: SnapshotCache, watchers: Watchers
) -> NoPeers | PostgresqlPeers:
    if not database.is_postgresql:
        return NoPeers()
    return PostgresqlPeers(replica_id, database, cache, watchers)


async def _listen(
    database: Database,
    listeners: Sequence[Callable[[], None]],
    on_moved: Sequence[Callable[[], None]],
) -> None:
    # Its driver is loaded only where it is needed.
    from modelplane.control_plane.store.notifications import listen  # noqa: PLC0415

    await listen(database, listeners, on_moved)


def _builder(settings: Settings, vault: Vault) -> ResourceBuilder:
    return ResourceBuilder(CredentialResolver(vault.sealer), default_judges(settings))


def _publish_gauges(
    cache: SnapshotCache, watchers: Watchers, rollout: RolloutDriver, registry: CollectorRegistry
) -> None:
    values = {
        "modelplane_refused_endpoints": (
            "Endpoints that are to serve what a worker refuses.",
            lambda: rollout.refused,
        ),
        "modelplane_revision": ("Newest revision pushed to workers.", lambda: cache.revision),
        "modelplane_workers": ("Workers connected to this replica.", lambda: len(watchers)),
        "modelplane_slowest_worker_revision": (
            "Revision that all connected workers have acknowledged.",
            lambda: watchers.slowest(default=cache.revision),
        ),
    }
    for name, (description, value) in values.items():
        Gauge(name, description, registry=registry).set_function(value)
