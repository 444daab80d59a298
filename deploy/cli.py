"""The `modelplane` command: one deployment on one machine, or its parts one by one."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from modelplane.adapters.shared.settings import environment
from modelplane.deploy.envoy.options import (
    Address,
    EnvoyOptions,
    Queries,
    parse_addresses,
    public_tls,
    public_url,
    worker_tls,
)
from modelplane.deploy.up.options import UpError, UpOptions

_USAGE_ERROR = 2
# Settings of workers that had an Envoy around them. Whoever still gives one would miss what it did.
_REMOVED = (
    "WORKER_HOST",
    "PUBLIC_LISTEN",
    "CONTROL_PLANE_API",
    "PUBLIC_TLS_CERT",
    "PUBLIC_TLS_KEY",
    "PUBLIC_URL",
    "ENVOY_ADMIN_LISTEN",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in (["up"], ["worker"]) and (removed := _removed()):
        print(f"modelplane {arguments[0]}: {removed}", file=sys.stderr)
        return _USAGE_ERROR
    # The parts read their own flags, from the same table as their environment variables.
    match arguments[:1]:
        case ["control-plane"]:
            from modelplane.control_plane.__main__ import main as run  # noqa: PLC0415 - one part per process
        case ["worker"]:
            from modelplane.data_plane.__main__ import main as run  # noqa: PLC0415 - one part per process
        case ["keys"]:
            from modelplane.control_plane.secrets.keys import main as run  # noqa: PLC0415 - one part per process
        case ["carry-over"]:
            from modelplane.control_plane.carry_over import main as run  # noqa: PLC0415 - one part per process
        case ["usage"]:
            from modelplane.deploy.usage.__main__ import main as run  # noqa: PLC0415 - one part per process
        case ["local-model"]:
            from modelplane.deploy.local_model import main as run  # noqa: PLC0415 - one part per process
        case _:
            return _run(_parser().parse_args(arguments))
    return run(arguments[1:])


def _removed() -> str:
    """Return what to say of a setting that is gone but still given; empty: there is none."""
    names = [f"MODELPLANE_{name}" for name in _REMOVED]
    if not (given := [name for name in names if name in environment()]):
        return ""
    return (
        f"{given[0]} is set, and no longer a setting: a worker is a process of its own, behind an "
        "Envoy with the configuration that `modelplane envoy-config` prints"
    )


def _run(parsed: argparse.Namespace) -> int:
    try:
        match parsed.command:
            case "up":
                _up(parsed)
            case "envoy-config":
                _envoy_config(parsed)
            case "certs":
                _certs(parsed)
            case _:
                print(f"modelplane {version('modelplane')}")
    except UpError as error:
        print(f"modelplane {parsed.command}: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"modelplane {parsed.command}: {error}", file=sys.stderr)
        return _USAGE_ERROR
    return 0


def _up(parsed: argparse.Namespace) -> None:
    from modelplane.deploy.up.supervisor import run  # noqa: PLC0415 - the other commands start faster

    environ = environment()
    options = UpOptions(
        data_dir=Path(parsed.data_dir),
        host=parsed.host,
        port=parsed.port,
        workers=parsed.workers,
        database_url=parsed.database_url,
        local_model=parsed.local_model,
        started_at=parsed.started_at or datetime.now(UTC).timestamp(),
        log_level=parsed.log_level,
        drain_seconds=parsed.drain_seconds,
        queries=Queries(parsed.queries),
        tls=public_tls(parsed.public_tls_cert, parsed.public_tls_key),
        admin_token=environ.get("MODELPLANE_ADMIN_TOKEN", ""),
        environment=environ,
    )
    failures: list[UpError] = []
    try:
        asyncio.run(run(options, lambda line: print(line, flush=True)))
    except* UpError as group:
        # Raised here, Python 3.11.2 would put it into a group again.
        failures.append(_first(group))
    if failures:
        raise failures[0]


def _first(group: BaseExceptionGroup[UpError]) -> UpError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _envoy_config(parsed: argparse.Namespace) -> None:
    from modelplane.deploy.envoy.config import render  # noqa: PLC0415 - the other commands start faster

    options = EnvoyOptions(
        listen=Address.parse(parsed.listen),
        control_plane=parse_addresses(parsed.control_plane),
        workers=parse_addresses(parsed.workers),
        admin=Address.parse(parsed.admin) if parsed.admin else None,
        tls=public_tls(parsed.public_tls_cert, parsed.public_tls_key),
        worker_tls=worker_tls(parsed.worker_tls_ca, parsed.worker_tls_cert, parsed.worker_tls_key),
        queries=Queries(parsed.queries),
        public_url=public_url(parsed.public_url),
    )
    print(render(options))


def _certs(parsed: argparse.Namespace) -> None:
    from modelplane.deploy.certificates import CertificateDir  # noqa: PLC0415 - the other commands start faster

    hosts = [host.strip() for host in parsed.hosts.split(",") if host.strip()]
    try:
        made = CertificateDir(Path(parsed.dir)).ensure(hosts, datetime.now(UTC))
    except OSError as error:
        raise ValueError(f"cannot use {parsed.dir}: {error.strerror}") from error
    for file in made:
        print(f"made {file}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="modelplane",
        description="A self-hosted model-serving gateway that speaks the Databricks API.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_up(commands)
    # Dispatched before this parser; listed here for the help page.
    commands.add_parser("control-plane", help="run a control plane", add_help=False)
    commands.add_parser("worker", help="run a data-plane worker", add_help=False)
    commands.add_parser("keys", help="list, replace and drop master keys", add_help=False)
    commands.add_parser(
        "carry-over", help="make a database of before the first release one of it", add_help=False
    )
    commands.add_parser("local-model", help="run the small local model", add_help=False)
    commands.add_parser("usage", help="show or export what was used, by whom", add_help=False)
    _add_envoy_config(commands)
    _add_certs(commands)
    commands.add_parser("version", help="print the version")
    return parser


def _add_up(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    up = commands.add_parser(
        "up",
        help="run everything on this machine",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    environ = environment()

    def setting(name: str, default: str) -> str:
        return environ.get(f"MODELPLANE_{name}", default)

    up.add_argument(
        "--data-dir",
        default=setting("DATA_DIR", ".modelplane"),
        help="directory of database, keys, tokens and logs",
    )
    up.add_argument("--host", default="127.0.0.1", help="address of the public port")
    up.add_argument("--port", type=_port, default=8080, help="public port; 0 picks a free one")
    up.add_argument("--workers", type=_workers, default=1, help="number of data-plane workers")
    up.add_argument(
        "--database-url",
        default=setting("DATABASE_URL", ""),
        help="postgresql:// URL; empty: SQLite in the data directory",
    )
    up.add_argument(
        "--log-level",
        default=setting("LOG_LEVEL", "info"),
        choices=("debug", "info", "warning", "error"),
    )
    up.add_argument(
        "--drain-seconds",
        type=float,
        default=setting("DRAIN_SECONDS", "30"),
        help="how long requests in flight may go on at a stop",
    )
    _add_queries(up)
    _add_local_model(up)
    _add_public_tls(up)


def _add_local_model(up: argparse.ArgumentParser) -> None:
    up.add_argument(
        "--local-model", action="store_true", help="also serve a small model as `smollm2`"
    )
    up.add_argument(
        "--started-at",
        type=float,
        metavar="UNIX_TIME",
        help="when what led to this start began: the time to the first answer counts from then",
    )


def _add_envoy_config(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    envoy = commands.add_parser(
        "envoy-config",
        help="print the configuration of an Envoy in front of the planes",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    envoy.add_argument("--listen", default="0.0.0.0:8080", help="host:port of the public port")
    envoy.add_argument(
        "--control-plane", default="127.0.0.1:9090", help="host:port of control planes, with commas"
    )
    envoy.add_argument(
        "--workers",
        default="127.0.0.1:9100",
        help="host:port or unix:/path of workers, with commas",
    )
    for name, what in (
        ("ca", "CA of the workers' certificates"),
        ("cert", "Envoy's own certificate for workers"),
        ("key", "private key of that certificate"),
    ):
        envoy.add_argument(
            f"--worker-tls-{name}", default="", help=f"{what} (PEM), as Envoy sees it"
        )
    envoy.add_argument(
        "--admin", help="host:port or unix:/path of Envoy's own admin page; none without it"
    )
    _add_queries(envoy)
    envoy.add_argument(
        "--public-url", default="", help="URL that clients use, if a proxy before Envoy ends TLS"
    )
    _add_public_tls(envoy)


def _add_queries(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--queries",
        default=Queries.DIRECT.value,
        choices=[way.value for way in Queries],
        help="whether workers get the queries that are sent most as they are, or all as gRPC calls",
    )


def _add_public_tls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--public-tls-cert", help="certificate chain of the public port (PEM)")
    parser.add_argument("--public-tls-key", help="private key of the public port (PEM)")


def _add_certs(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    certs = commands.add_parser(
        "certs",
        help="make the certificates by which planes on several machines know each other",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    certs.add_argument("--dir", default="tls", help="where they are kept; what is there stays")
    certs.add_argument(
        "--hosts",
        default="127.0.0.1,localhost",
        help="names and addresses under which workers reach control planes, with commas",
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 1 << 16:
        raise argparse.ArgumentTypeError(f"{text} is not a port")
    return port


def _workers(text: str) -> int:
    workers = int(text)
    if workers < 1:
        raise argparse.ArgumentTypeError("at least one worker is needed")
    return workers
