"""Which child processes a deployment has, and how each is told where the others are.

Pure: `supervisor.py` starts what this module describes.
"""

import math
import os
import resource
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from modelplane.deploy import certificates
from modelplane.deploy.envoy.options import MAX_CONNECTIONS, Address, EnvoyOptions
from modelplane.deploy.local.child import ChildSpec, python_command, python_variables
from modelplane.deploy.local.data_dir import DataDir
from modelplane.deploy.local.envoy_command import HotRestart, envoy_command, has_shared_memory
from modelplane.deploy.local.options import UpOptions
from modelplane.deploy.local.ports import LOOPBACK
from modelplane.deploy.local.secret_variables import for_control_plane

CONTROL_PLANE = "control-plane"
ENVOY = "envoy"
LAUNCHER = "launcher"
REGISTRY = "registry"
PAYLOAD_WRITER = "payload-writer"
_WRITER_METRICS = "payload-writer-metrics"
_LAUNCHER_METRICS = "launcher-metrics"
_LISTEN = "MODELPLANE_WORKER_LISTEN"
_METRICS_LISTEN = "MODELPLANE_WORKER_METRICS_LISTEN"
_CATALOGUES = "MODELPLANE_FOUNDATION_MODELS"
_OWN = "MODELPLANE_OWN_ADDRESSES"
_POSTGRESQL_PORT = 5432
# Envoy multiplies it by ten, and keeps it in 32 bits.
_MAX_BASE_ID = (1 << 27) - 1
# How many times the time for calls in flight an Envoy that was replaced has.
_LIVES_ON = 10
# A worker and the one that takes its place have each their own addresses.
_TURNS = ("a", "b")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The secrets of one deployment."""

    admin: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """Builds the description of each child process."""

    options: UpOptions
    data_dir: DataDir
    sockets: Path
    ports: Mapping[str, int]
    tokens: Tokens
    # Variables that the processes inherit.
    environment: Mapping[str, str] = field(repr=False)

    @property
    def worker_names(self) -> list[str]:
        """Names of the workers."""
        return worker_names(self.options)

    @property
    def admin(self) -> Address:
        """Where Envoy's own admin page is."""
        return self._socket("envoy-admin")

    def address(self, name: str) -> str:
        """Return `host:port` of the internal listener `name`."""
        return f"{LOOPBACK}:{self.ports[name]}"

    def specs(self) -> list[ChildSpec]:
        """Return the child processes that answer the first request, in the order of their start."""
        return [self._control_plane(), *map(self.worker, self.worker_names), self.envoy()]

    def envoy_options(self) -> EnvoyOptions:
        """Return what Envoy has to know."""
        return EnvoyOptions(
            listen=Address(self.options.host, self.options.port),
            control_plane=(Address.parse(self.address(CONTROL_PLANE)),),
            workers=(),
            admin=self.admin,
            public_tls_cert=self.options.public_tls_cert,
            public_tls_key=self.options.public_tls_key,
            sds=str(self.data_dir.sds_file),
            eds=str(self.data_dir.eds_file),
            queries=self.options.queries,
            max_connections=most_connections(),
            cors_origins=self.options.cors_origins,
            no_ui=self.options.no_ui,
        )

    def worker(self, name: str, turn: int = 0) -> ChildSpec:
        """Return the process of a worker.

        Args:
            name: The worker.
            turn: How often it was replaced.
        """
        place = f"{name}-{_TURNS[turn % len(_TURNS)]}"
        return self._python(
            name,
            "worker",
            **{_LISTEN: str(self._socket(place)), _METRICS_LISTEN: self.address(place)},
            MODELPLANE_CONTROL_PLANE=self.address("snapshot"),
            MODELPLANE_JOURNAL_DIR=str(self.data_dir.path / "journal"),
            MODELPLANE_PAYLOAD_DIR=str(self.data_dir.path / "payloads"),
            **self.data_dir.certificates.settings(certificates.WORKER),
        )

    def envoy(self, epoch: int = 0) -> ChildSpec:
        """Return the process of Envoy.

        Args:
            epoch: How often it was replaced.
        """
        command = envoy_command(
            self.data_dir.envoy_file,
            self.options.log_level,
            _envoy_threads(self.options.workers),
            self.hot_restart(epoch),
        )
        environment = self.foreign_environment()
        return ChildSpec(ENVOY, command, environment, self.data_dir.log_file(ENVOY))

    def foreign_environment(self) -> dict[str, str]:
        """Return what a program inherits that is not ours: no setting of ours, and no secret."""
        hidden = for_control_plane(self.environment)
        return {
            name: value
            for name, value in self.environment.items()
            if not name.startswith("MODELPLANE_") and name not in hidden
        }

    def hot_restart(self, epoch: int) -> HotRestart | None:
        """Return how Envoy takes the place of the one before it; None: it cannot."""
        if not has_shared_memory():
            return None
        # The same for each run in this directory, and another one in others.
        base_id = zlib.crc32(os.fsencode(self.data_dir.path)) & _MAX_BASE_ID
        seconds = max(1, math.ceil(_LIVES_ON * self.options.drain_seconds))
        return HotRestart(base_id, epoch, self.sockets / "envoy", seconds)

    def _socket(self, name: str) -> Address:
        return Address.of_path(str(self.sockets / f"{name}.sock"))

    def _control_plane(self) -> ChildSpec:
        return self._python(
            CONTROL_PLANE,
            CONTROL_PLANE,
            MODELPLANE_DATA_DIR=str(self.data_dir.path),
            MODELPLANE_DATABASE_URL=self.options.database_url,
            MODELPLANE_CONTROL_PLANE_LISTEN=self.address(CONTROL_PLANE),
            MODELPLANE_SNAPSHOT_LISTEN=self.address("snapshot"),
            MODELPLANE_CONTROL_PLANE_METRICS_LISTEN=self.address("control-plane-metrics"),
            MODELPLANE_ADMIN_TOKEN=self.tokens.admin,
            MODELPLANE_REGISTRY=self._registry(),
            MODELPLANE_FOUNDATION_MODELS=self._catalogues(),
            MODELPLANE_TABLES_ROOT=self._tables_root(),
            **self.data_dir.certificates.settings(certificates.CONTROL_PLANE),
        )

    @property
    def registry_url(self) -> str:
        """URL of the registry that the deployment runs itself."""
        return f"http://{self.address(REGISTRY)}"

    def _registry(self) -> str:
        if self.options.runs_registry:
            return f"mlflow:{self.registry_url}"
        if self.options.serves_custom_model:
            return f"directory:{self.data_dir.models}"
        return self.options.registry

    def _catalogues(self) -> str:
        """Return the files of foundation models: the user's, and ours for the local model."""
        given = self.environment.get(_CATALOGUES, "")
        if not self.options.local_model:
            return given
        # Imported here, with all that a catalogue says: few deployments need it to start.
        from modelplane.adapters.registries.foundation_model import DEFAULT  # noqa: PLC0415

        if DEFAULT in given.split(","):
            return given
        return ",".join(filter(None, (DEFAULT, given)))

    def launcher(self) -> ChildSpec:
        """Return the process of the launcher, which the first answers do not need."""
        return self._python(
            LAUNCHER,
            LAUNCHER,
            MODELPLANE_CONTROL_PLANE=self.address("snapshot"),
            MODELPLANE_LAUNCHER_DIR=str(self.data_dir.path / "launcher"),
            MODELPLANE_LAUNCHER_METRICS_LISTEN=self.address(_LAUNCHER_METRICS),
            **self.data_dir.certificates.settings(certificates.LAUNCHER),
        )

    def payload_writer(self) -> ChildSpec:
        """Return the process that writes payload tables, which nobody waits for."""
        return self._python(
            PAYLOAD_WRITER,
            PAYLOAD_WRITER,
            MODELPLANE_TABLES_ROOT=self._tables_root(),
            MODELPLANE_PAYLOAD_DIR=str(self.data_dir.path / "payloads"),
            MODELPLANE_WRITER_METRICS_LISTEN=self.address(_WRITER_METRICS),
        )

    def _tables_root(self) -> str:
        if not self.options.writes_tables:
            return ""
        return self.options.tables_root or str(self.data_dir.path / "tables")

    def _own_addresses(self) -> list[str]:
        """Return what no endpoint may lead to, whatever else is allowed."""
        database = urlsplit(self.options.database_url)
        public = str(Address(self.options.host, self.options.port))
        found = [self.environment.get(_OWN, ""), public, *map(self.address, self.ports)]
        if database.hostname:
            found.append(f"{database.hostname}:{database.port or _POSTGRESQL_PORT}")
        return list(filter(None, found))

    def _python(self, name: str, command: str, **settings: str) -> ChildSpec:
        environment = {
            **self.environment,
            _OWN: ",".join(self._own_addresses()),
            "MODELPLANE_LOG_LEVEL": self.options.log_level,
            "MODELPLANE_DRAIN_SECONDS": str(self.options.drain_seconds),
        }
        # Each process gets its own secrets only.
        environment.pop("MODELPLANE_ADMIN_TOKEN", None)
        if command != CONTROL_PLANE:
            for variable in for_control_plane(environment):
                del environment[variable]
        return ChildSpec(
            name,
            [*python_command("modelplane"), command],
            python_variables(environment) | settings,
            self.data_dir.log_file(name),
        )


def listen_of(worker: ChildSpec) -> Address:
    """Return where a worker takes requests."""
    return Address.parse(worker.environment[_LISTEN])


def metrics_url_of(worker: ChildSpec) -> str:
    """Return where a worker serves its metrics."""
    return f"http://{worker.environment[_METRICS_LISTEN]}/metrics"


def port_names(options: UpOptions) -> Sequence[str]:
    """Return the names of all internal listeners on ports."""
    places = [f"{name}-{turn}" for name in worker_names(options) for turn in _TURNS]
    own = [REGISTRY] if options.runs_registry else []
    if options.writes_tables:
        own.append(_WRITER_METRICS)
    if not options.no_hosting:
        own.append(_LAUNCHER_METRICS)
    return [CONTROL_PLANE, "snapshot", "control-plane-metrics", *own, *places]


def worker_names(options: UpOptions) -> list[str]:
    """Return the names of the workers."""
    return [f"worker-{number}" for number in range(1, options.workers + 1)]


def most_connections() -> int:
    """Return how many connections of clients Envoy takes, which leaves as many to the planes."""
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    unlimited = descriptors == resource.RLIM_INFINITY
    return MAX_CONNECTIONS if unlimited else min(MAX_CONNECTIONS, descriptors // 2)


def _envoy_threads(workers: int) -> int:
    # One thread of Envoy keeps more than two workers busy; idle ones only cost switches.
    return max(1, min(os.cpu_count() or 1, (workers + 1) // 2))
