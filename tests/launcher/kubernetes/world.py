"""A cluster whose pods run in this process: a strict API server, and launchers as its hosts."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from modelplane.adapters.shared.settings import load
from modelplane.deploy.certificates import LAUNCHER, CertificateDir
from modelplane.launcher import service
from modelplane.launcher.kubernetes.place import kubernetes_backend
from modelplane.launcher.settings import Settings
from tests.emulators.kubernetes.nodes import Container, Nodes
from tests.emulators.kubernetes.server import NAMESPACE, Kubernetes
from tests.launcher.cluster import in_process
from tests.launcher.cluster.in_process import launching_on
from tests.launcher.groups import Machine, Models
from tests.launcher.kubernetes.rights import RULES, RULES_WITH_KEDA
from tests.ports import free_port

IMAGE = "registry.example.com/modelplane:1"
ISSUER = "https://kubernetes.default.svc.cluster.local"


class Signer:
    """Signs the tokens of service accounts, as a cluster does."""

    def __init__(self, name: str = "first") -> None:
        self._key = RSAKey.generate_key(2048, parameters={"kid": name, "use": "sig"})

    def published(self) -> dict[str, dict[str, Any]]:
        keys = {"keys": [self._key.as_dict(private=False)]}
        return {
            "/openid/v1/jwks": keys,
            "/.well-known/openid-configuration": {"issuer": ISSUER},
        }

    def sign(
        self, pod: str, uid: str, audience: str, others: Mapping[str, Any] = MappingProxyType({})
    ) -> str:
        """Return a token as those that are projected into pods."""
        now = int(datetime.now(UTC).timestamp())
        claims = {
            "aud": [audience],
            "exp": now + 3600,
            "iat": now,
            "iss": ISSUER,
            "sub": f"system:serviceaccount:{NAMESPACE}:default",
            "kubernetes.io": {
                "namespace": NAMESPACE,
                "pod": {"name": pod, "uid": uid},
                "serviceaccount": {"name": "default", "uid": "1"},
            },
        }
        header = {"alg": "RS256", "kid": self._key.kid}
        return jwt.encode(header, {**claims, **others}, self._key)


@dataclass
class Cluster(Machine):
    """A launcher with a cluster.

    Attributes:
        server: The API server.
        nodes: What runs pods.
        signer: Signs tokens.
        settings: Those of the launcher.
        running: Ends the launcher.
    """

    launcher: Any
    models: Models
    folder: Path
    server: Kubernetes
    nodes: Nodes
    signer: Signer
    settings: Settings

    running: AsyncExitStack

    async def end_launcher(self) -> None:
        """End the launcher, as a pod that is moved does."""
        await self.running.aclose()

    def with_settings(self, **changes: Any) -> Settings:
        """Return those of the launcher, with changes."""
        return replace(self.settings, **changes)

    def pods(self) -> list[dict[str, Any]]:
        """Return the pods that are to stay."""
        found = self.server.store.list("pods")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def deployments(self) -> list[dict[str, Any]]:
        return self.server.store.list("deployments")


async def run_host(models: Models, container: Container) -> int:
    """Run a container: the launcher of one replica, with models that a fake server serves."""
    assert container.arguments[0] == "launcher"
    settings = load(Settings, "modelplane launcher", container.arguments[1:], container.environment)
    return await in_process.run_host(models, settings, container.stop, container.killed)


def account(folder: Path, ca: Path) -> Path:
    """Make the directory of a service account, as pods have it."""
    folder.mkdir()
    (folder / "token").write_text("launcher-token")
    (folder / "namespace").write_text(NAMESPACE)
    (folder / "ca.crt").write_bytes(ca.read_bytes())
    return folder


@asynccontextmanager
async def cluster(tmp_path: Path, **options: str) -> AsyncIterator[Cluster]:
    """Run a cluster, and a launcher with it; `options` are variables of the launcher."""
    usual, service._LOG_SECONDS = service._LOG_SECONDS, 0.1
    certificates = CertificateDir(tmp_path / "certificates")
    certificates.ensure(["127.0.0.1"], datetime.now(UTC), ["127.0.0.1"])
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    files = certificates.settings("control-plane")
    tls.load_cert_chain(files["MODELPLANE_TLS_CERT"], files["MODELPLANE_TLS_KEY"])
    signer, models = Signer(), Models(tmp_path / "registry")
    server = Kubernetes(tokens={"launcher-token": RULES}, published=signer.published())
    nodes = Nodes(
        server.store,
        lambda container: run_host(models, container),
        tmp_path / "volumes",
        signer.sign,
        frozenset({IMAGE}),
    )
    server.logs = nodes.log
    if options.get("MODELPLANE_KUBERNETES_SCALING") == "keda":
        server.tokens, server.has_keda = {"launcher-token": RULES_WITH_KEDA}, True
    async with server.running(tls):
        hosts = f"127.0.0.1:{free_port()}"
        given: Mapping[str, str] = {
            **certificates.settings(LAUNCHER),
            "MODELPLANE_KUBERNETES_API": server.url,
            "MODELPLANE_KUBERNETES_ACCOUNT": str(
                account(tmp_path / "account", Path(files["MODELPLANE_TLS_CA"]))
            ),
            "MODELPLANE_KUBERNETES_IMAGE": IMAGE,
            "MODELPLANE_HOSTS_LISTEN": hosts,
            "MODELPLANE_HOSTS_ADDRESS": hosts,
            "MODELPLANE_LAUNCHER_MEMORY": "64GiB",
            **options,
        }
        arguments = ["--backend", "kubernetes"]
        settings = load(Settings, "modelplane launcher", arguments, given)
        working = asyncio.create_task(nodes.work())
        try:
            async with AsyncExitStack() as stack:
                backend = await stack.enter_async_context(launching(settings))
                yield Cluster(backend, models, tmp_path, server, nodes, signer, settings, stack)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            service._LOG_SECONDS = usual


def launching(settings: Settings) -> AbstractAsyncContextManager[Any]:
    """Run a launcher of the cluster; what it has started goes on afterwards."""
    return launching_on(kubernetes_backend(settings))
