"""Which child processes a deployment has, and how each is told where the others are.

Pure: `supervisor.py` starts what this module describes.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from modelplane.deploy import certificates
from modelplane.deploy.child import ChildSpec, python_command, python_variables
from modelplane.deploy.envoy.command import envoy_command
from modelplane.deploy.envoy.config import render
from modelplane.deploy.envoy.embedded import python_environment
from modelplane.deploy.envoy.options import Address, EnvoyOptions
from modelplane.deploy.envoy.replica import render_replica
from modelplane.deploy.up.data_dir import DataDir
from modelplane.deploy.up.options import UpOptions
from modelplane.deploy.up.ports import LOOPBACK
from modelplane.deploy.up.secret_variables import for_control_plane
from modelplane.deploy.worker.host import GRPC

CONTROL_PLANE = "control-plane"
ENVOY = "envoy"
LOCAL_MODEL = "local-model"
# Stands for the local model's address in its endpoint's configuration, whatever the port.
LOCAL_MODEL_ORIGIN = "http://local-model.modelplane"
_ORIGINS = "MODELPLANE_UPSTREAM_ORIGINS"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The secrets of one deployment."""

    admin: str = field(repr=False)
    local_model: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Plan:
    """Builds the description of each child process."""

    options: UpOptions
    data_dir: DataDir
    ports: Mapping[str, int]
    tokens: Tokens

    @property
    def worker_names(self) -> list[str]:
        """Names of the workers."""
        return worker_names(self.options)

    def address(self, name: str) -> str:
        """Return `host:port` of the internal listener `name`."""
        return f"{LOOPBACK}:{self.ports[name]}"

    def specs(self) -> list[ChildSpec]:
        """Return all child processes in the order of their start."""
        specs = [self._control_plane(), *map(self._worker, self.worker_names)]
        if self.options.local_model:
            specs.append(self._local_model())
        return [*specs, self._envoy()] if self.public_envoy == ENVOY else specs

    @property
    def public_envoy(self) -> str:
        """The process whose Envoy has the public port: in front of workers, or the only one."""
        alone = self.options.embedded and self.options.workers == 1
        return self.worker_names[0] if alone else ENVOY

    def envoy_files(self) -> dict[str, str]:
        """Return the configurations of all Envoys, by the names of their processes."""
        public = self.public_envoy
        files = {public: render(self._envoy_options(self.admin_address(public)))}
        if self.options.embedded and public == ENVOY:
            for name in self.worker_names:
                files[name] = render_replica(
                    Address.parse(self.address(name)), Address.parse(self.admin_address(name))
                )
        return files

    def admin_address(self, name: str) -> str:
        """Return `host:port` of the admin page of the Envoy in the process `name`."""
        return self.address(f"{name}-admin")

    def _envoy_options(self, admin: str) -> EnvoyOptions:
        alone = self.public_envoy != ENVOY
        apart = () if alone else self.worker_names
        return EnvoyOptions(
            listen=Address(self.options.host, self.options.port),
            control_plane=(Address.parse(self.address(CONTROL_PLANE)),),
            workers=tuple(Address.parse(self.address(name)) for name in apart),
            admin=Address.parse(admin),
            tls=self.options.tls,
            sds=str(self.data_dir.sds_file),
            embedded=alone,
            rest_workers=self.options.embedded,
        )

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
            **self.data_dir.certificates.settings(certificates.CONTROL_PLANE),
        )

    def _worker(self, name: str) -> ChildSpec:
        origins = self.options.environment.get(_ORIGINS, "")
        if self.options.local_model:
            # Only this address of the machine is opened to workers, and only under this name.
            own = f"{LOCAL_MODEL_ORIGIN}=http://{self.address(LOCAL_MODEL)}"
            origins = ",".join(filter(None, (origins, own)))
        spec = self._python(
            name,
            "worker",
            MODELPLANE_WORKER_HOST=GRPC,
            MODELPLANE_UPSTREAM_ORIGINS=origins,
            MODELPLANE_CONTROL_PLANE=self.address("snapshot"),
            MODELPLANE_WORKER_LISTEN=self.address(name),
            MODELPLANE_WORKER_METRICS_LISTEN=self.address(f"{name}-metrics"),
            MODELPLANE_JOURNAL_DIR=str(self.data_dir.path / "journal"),
            **self.data_dir.certificates.settings(certificates.WORKER),
        )
        if not self.options.embedded:
            return spec
        command = self._envoy_command(name, threads=1)
        environment = {**spec.environment, **python_environment()}
        return replace(spec, command=command, environment=environment)

    def _local_model(self) -> ChildSpec:
        return self._python(
            LOCAL_MODEL,
            LOCAL_MODEL,
            MODELPLANE_LOCAL_MODEL_LISTEN=self.address(LOCAL_MODEL),
            MODELPLANE_LOCAL_MODEL_KEY=self.tokens.local_model,
        )

    def _python(self, name: str, command: str, **settings: str) -> ChildSpec:
        environment = {
            **self.options.environment,
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

    def _envoy_command(self, name: str, threads: int) -> list[str]:
        return envoy_command(self.data_dir.envoy_file(name), self.options.log_level, threads)

    def _envoy(self) -> ChildSpec:
        command = self._envoy_command(ENVOY, _envoy_threads(self.options.workers))
        hidden = for_control_plane(self.options.environment)
        environment = {
            name: value
            for name, value in self.options.environment.items()
            if not name.startswith("MODELPLANE_") and name not in hidden
        }
        return ChildSpec(ENVOY, command, environment, self.data_dir.log_file(ENVOY))


def port_names(options: UpOptions) -> list[str]:
    """Return the names of all internal listeners."""
    workers = worker_names(options)
    return [
        CONTROL_PLANE,
        "snapshot",
        "control-plane-metrics",
        "envoy-admin",
        LOCAL_MODEL,
        *workers,
        *(f"{name}-metrics" for name in workers),
        *(f"{name}-admin" for name in workers),
    ]


def worker_names(options: UpOptions) -> list[str]:
    """Return the names of the workers."""
    return [f"worker-{number}" for number in range(1, options.workers + 1)]


def _envoy_threads(workers: int) -> int:
    # One thread of Envoy keeps more than two workers busy; idle ones only cost switches.
    return max(1, min(os.cpu_count() or 1, (workers + 1) // 2))
