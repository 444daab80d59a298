"""Settings of a launcher, each with its default beside it."""

import ipaddress
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

from modelplane.adapters.shared.byte_counts import parse_bytes
from modelplane.adapters.shared.rpc.control_link import link_files, parse_targets
from modelplane.adapters.shared.rpc.tls import TlsFiles, TokenFiles
from modelplane.adapters.shared.settings import environment, load, setting, variable_name

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_SHARE = re.compile(r"([1-9]\d?)\s*%")
_USERS = re.compile(r"(\d+)-(\d+)")
# What only replicas on a cluster need, and what only those on this machine do.
_OF_CLUSTERS = ("cluster_gpus", "hosts_address", "hosts_listen")
_OF_KEDA = ("keda_address", "keda_authentication", "keda_listen")
_OF_KUBERNETES = (
    *("kubernetes_account", "kubernetes_api", "kubernetes_image", "kubernetes_namespace"),
    *("kubernetes_pod", "kubernetes_scaling"),
    *_OF_KEDA,
)
_OF_RAY = ("ray_api", "ray_dir", "ray_labels", "ray_python", "ray_token_file")
_OF_HERE = (
    *("drain_seconds", "launcher_cache", "launcher_dir", "launcher_token_file", "launcher_users"),
    "replica_host",
)
_OF_OTHERS = {
    "local": (*_OF_CLUSTERS, *_OF_KUBERNETES, *_OF_RAY),
    "kubernetes": (*_OF_HERE, *_OF_RAY),
    "ray": (*_OF_HERE, *_OF_KUBERNETES, "launcher_pythons"),
}
_LABEL = re.compile(r"(?P<key>[A-Za-z0-9][A-Za-z0-9._/-]*)=(?P<value>[!A-Za-z0-9(][\w.,() -]*)")


def parse_memory(text: str) -> int:
    """Return the bytes that a text as `16GiB`, or `80%` of the machine's memory, means.

    Raises:
        ValueError: It means none.
    """
    if share := _SHARE.fullmatch(text.strip()):
        return _all_memory() * int(share[1]) // 100
    return parse_bytes(text)


def parse_users(text: str) -> range:
    """Return the user ids that a text as `60600-61111` means; empty: none.

    Raises:
        ValueError: It means none.
    """
    if not text:
        return range(0)
    found = _USERS.fullmatch(text.strip())
    if not found or not 0 < int(found[1]) < int(found[2]):
        raise ValueError(f"{text!r} is no range of user ids; write it as 60600-61111")
    return range(int(found[1]), int(found[2]) + 1)


def parse_folders(text: str) -> tuple[Path, ...]:
    """Return the directories that a text names, with commas.

    Raises:
        ValueError: One of them is not there.
    """
    folders = tuple(Path(part.strip()) for part in text.split(",") if part.strip())
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is no directory; name those that have a python3.N in them")
    return folders


def parse_labels(text: str) -> dict[str, str]:
    """Return the labels that a text as `zone=eu; pool=!in(a,b)` means.

    Raises:
        ValueError: It means none.
    """
    labels = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        found = _LABEL.fullmatch(part)
        if not found:
            raise ValueError(f"{part!r} is no label; write them as pool=models; zone=in(a,b)")
        labels[found["key"]] = found["value"]
    return labels


def _checked(parse: Callable[[str], object], text: str) -> str:
    """Return a text that means something.

    Raises:
        ValueError: It means nothing.
    """
    parse(text)
    return text


@dataclass(frozen=True)
class Settings:
    """Run the models that a control plane hosts."""

    backend: str = setting(
        "local",
        "where replicas run: as processes of this machine (local), as pods (kubernetes), or as "
        "jobs of a Ray cluster (ray)",
        variable=False,
        choices=("local", "kubernetes", "ray"),
    )
    control_plane: str = setting(
        "127.0.0.1:9091", "gRPC target(s) of the control planes, comma separated"
    )
    tls_ca: str = setting(
        "", "CA of the certificates by which the planes know each other (PEM file)"
    )
    tls_cert: str = setting("", "own certificate for connections between the planes (PEM file)")
    tls_key: str = setting("", "private key of that certificate (PEM file)")
    launcher_pool: str = setting(
        "default", "pool of machines that it starts replicas in; one launcher is active for each"
    )
    launcher_dir: Path = setting(
        Path(".modelplane/launcher"), "directory of models, environments and what replicas write"
    )
    launcher_memory: str = setting(
        "80%",
        "memory that replicas may use together, as 16GiB, or as a share of the machine's",
        parse=partial(_checked, parse_memory),
    )
    launcher_cache: str = setting(
        "50GiB",
        "room on the disk for models that nothing uses at the moment",
        parse=partial(_checked, parse_bytes),
    )
    launcher_packages: str = setting(
        "20GiB",
        "room on the disk for packages that builds of environments have fetched; when they take "
        "more after a build, all are dropped",
        parse=partial(_checked, parse_bytes),
    )
    launcher_pythons: str = setting(
        "",
        "directories of Pythons for models, with commas, which are taken before those that are on "
        "PATH",
        parse=partial(_checked, parse_folders),
    )
    launcher_users: str = setting(
        "60600-61111",
        "user ids that replicas and builds run as, each as one of its own, where the launcher is "
        "root; the last fetches packages. Empty: all as the launcher",
        parse=partial(_checked, parse_users),
    )
    launcher_vllm: str = setting(
        "", "folder of an environment with vLLM, which then serves language models; empty: none"
    )
    launcher_commands: str = setting(
        "no",
        "whether models may be served by commands of their own (metadata.entrypoint): yes or no",
        choices=("yes", "no"),
    )
    hosts_listen: str = setting(
        "0.0.0.0:9093",
        "host:port where hosts of a cluster register",
    )
    hosts_address: str = setting("", "host:port by which hosts of a cluster find this launcher")
    cluster_gpus: int = setting(0, "GPUs that replicas on a cluster may use together")
    kubernetes_api: str = setting(
        "https://kubernetes.default.svc", "URL of the API server of the Kubernetes cluster"
    )
    kubernetes_account: str = setting(
        "/var/run/secrets/kubernetes.io/serviceaccount",
        "directory of the own service account: its token, ca.crt and namespace",
    )
    kubernetes_namespace: str = setting(
        "", "namespace in which replicas run; empty: that of the service account"
    )
    kubernetes_image: str = setting("", "image of modelplane that hosts run")
    kubernetes_pod: str = setting("", "file of what is said of the pods of hosts, YAML")
    kubernetes_scaling: str = setting(
        "launcher",
        "who sets how many pods each group has: the launcher, or keda, which asks it",
        choices=("launcher", "keda"),
    )
    keda_listen: str = setting(
        "0.0.0.0:9094", "host:port where KEDA asks how many pods there should be"
    )
    keda_address: str = setting("", "host:port by which KEDA finds this launcher")
    keda_authentication: str = setting(
        "modelplane-keda", "TriggerAuthentication of the namespace that has KEDA's certificate"
    )
    ray_api: str = setting("http://127.0.0.1:8265", "URL of the Ray cluster's REST API")
    ray_token_file: str = setting("", "file of the Ray cluster's token")
    ray_python: str = setting("python3", "Python of modelplane on the Ray cluster's machines")
    ray_dir: str = setting(
        "",
        "directory on the Ray cluster's machines in which each host makes one for models and "
        "environments; empty: that of temporary files",
    )
    ray_labels: str = setting(
        "",
        "labels that a Ray machine has to have to run replicas, as pool=models; zone=in(a,b)",
        parse=partial(_checked, parse_labels),
    )
    launcher_token_file: str = setting(
        "",
        "file of the token by which a host of a cluster registers with its launcher, in the place "
        "of an own certificate",
    )
    launcher_metrics_listen: str = setting(
        "", "host:port of the metrics page, which answers /live and /ready too; empty: none"
    )
    replica_host: str = setting(
        "127.0.0.1",
        "address of this machine at which replicas are asked; by TLS, unless it is a loopback "
        "address",
        parse=partial(_checked, ipaddress.ip_address),
    )
    log_level: str = setting("info", "debug, info, warning or error")
    drain_seconds: float = setting(30.0, "seconds that calls in flight may take at a stop")

    def __post_init__(self) -> None:
        """Refuse what would have no effect.

        Raises:
            ValueError: A setting is of another backend.
        """
        kept = {item.name: item.default for item in fields(self)}
        for name in _OF_OTHERS[self.backend]:
            if getattr(self, name) != kept[name]:
                raise ValueError(
                    f"{variable_name(name)} has no effect with --backend {self.backend}; leave it "
                    "out."
                )
        for name in _OF_KEDA:
            if self.kubernetes_scaling != "keda" and getattr(self, name) != kept[name]:
                raise ValueError(
                    f"{variable_name(name)} has no effect without "
                    f"{variable_name('kubernetes_scaling')}=keda; leave it out, or set that."
                )

    @property
    def targets(self) -> list[str]:
        """The control planes."""
        return parse_targets(self.control_plane)

    @property
    def tls(self) -> TlsFiles | TokenFiles | None:
        """Files for connections to control planes; None for plaintext on this machine alone.

        Raises:
            ValueError: What to run would be taken from elsewhere without certificates.
            OSError: A file cannot be read.
        """
        if not self.launcher_token_file:
            return link_files(self.targets, self.tls_ca, self.tls_cert, self.tls_key)
        if not self.tls_ca or self.tls_cert or self.tls_key:
            raise ValueError(
                "With MODELPLANE_LAUNCHER_TOKEN_FILE, MODELPLANE_TLS_CA says whom to trust, and "
                "there is no MODELPLANE_TLS_CERT or MODELPLANE_TLS_KEY."
            )
        return TokenFiles(Path(self.tls_ca), Path(self.launcher_token_file), "launcher")

    @property
    def memory_bytes(self) -> int:
        """Memory that replicas may use together."""
        return parse_memory(self.launcher_memory)

    @property
    def cluster_memory_bytes(self) -> int:
        """Memory that replicas on a cluster may use together.

        Raises:
            ValueError: It is said as a share, of which nobody knows of what.
        """
        if _SHARE.fullmatch(self.launcher_memory.strip()):
            raise ValueError(
                f"MODELPLANE_LAUNCHER_MEMORY is {self.launcher_memory}: say how much of the "
                "cluster's memory replicas may use, as 64GiB."
            )
        return parse_bytes(self.launcher_memory)

    @property
    def cache_bytes(self) -> int:
        """Room for models that nothing uses."""
        return parse_bytes(self.launcher_cache)

    @property
    def package_bytes(self) -> int:
        """Room for packages that builds have fetched."""
        return parse_bytes(self.launcher_packages)

    @property
    def pythons(self) -> Sequence[Path]:
        """Directories of Pythons for models."""
        return parse_folders(self.launcher_pythons)

    @property
    def labels(self) -> Mapping[str, str]:
        """Labels that a Ray machine has to have."""
        return parse_labels(self.ray_labels)

    @property
    def secures_replicas(self) -> bool:
        """Whether replicas are asked by TLS."""
        host = ipaddress.ip_address(self.replica_host)
        return bool(self.launcher_token_file) or not host.is_loopback

    @property
    def users(self) -> range:
        """Users that replicas run as."""
        return parse_users(self.launcher_users)


def load_settings(argv: Sequence[str]) -> Settings:
    """Return the settings given by `argv` and the environment."""
    return load(Settings, "modelplane launcher", argv, environment())


def _all_memory() -> int:
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = _CGROUP_LIMIT.read_text().strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdecimal() else machine
