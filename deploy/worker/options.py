"""Settings of `modelplane worker`: those of the worker itself, and of the Envoy around it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from modelplane.adapters.settings import environment, load, setting, variable_name
from modelplane.data_plane.settings import Settings
from modelplane.deploy.envoy.options import (
    Address,
    EnvoyOptions,
    parse_addresses,
    public_tls,
    public_url,
)
from modelplane.deploy.worker.host import EMBEDDED


@dataclass(frozen=True)
class WorkerOptions(Settings):
    """Run a data-plane worker."""

    worker_host: str = setting(
        EMBEDDED,
        "embedded: inside Envoy, where that can be had; grpc: a server of its own",
        alias="--host",
    )
    public_listen: str = setting(
        "",
        "host:port of a public port for REST and gRPC, instead of worker_listen; "
        "empty: an Envoy stands in front",
    )
    control_plane_api: str = setting(
        "127.0.0.1:9090", "host:port of control planes behind the public port, comma separated"
    )
    envoy_admin_listen: str = setting(
        "127.0.0.1:0", "host:port of the admin page of the Envoy around the worker"
    )
    public_tls_cert: str = setting("", "certificate chain of the public port (PEM file)")
    public_tls_key: str = setting("", "private key of the public port (PEM file)")
    public_url: str = setting(
        "", "URL that clients use, if a proxy before the public port ends TLS"
    )

    @property
    def public(self) -> EnvoyOptions | None:
        """What the Envoy around the worker has to know to be the public one; None: it is not.

        Raises:
            ValueError: A setting is malformed.
        """
        if not self.public_listen:
            return None
        return EnvoyOptions(
            listen=Address.parse(self.public_listen),
            control_plane=parse_addresses(self.control_plane_api),
            workers=(),
            tls=public_tls(self.public_tls_cert, self.public_tls_key),
            embedded=True,
            public_url=public_url(self.public_url),
        )

    def variables(self) -> Mapping[str, str]:
        """Return the worker's own settings as environment variables."""
        return {
            variable_name(item.name): str(getattr(self, item.name)) for item in fields(Settings)
        }


def load_options(argv: Sequence[str]) -> WorkerOptions:
    """Return the settings given by `argv` and the environment."""
    return load(WorkerOptions, "modelplane worker", argv, environment())
