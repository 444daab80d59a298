"""The `modelplane` command: one deployment on one machine, or its parts one by one."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from modelplane.adapters.settings import environment
from modelplane.deploy.envoy.options import (
    Address,
    EnvoyOptions,
    parse_addresses,
    public_tls,
    public_url,
)
from modelplane.deploy.up.options import UpError, UpOptions
from modelplane.deploy.worker.host import EMBEDDED, GRPC, is_embedded

_USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # The parts read their own flags, from the same table as their environment variables.
    match arguments[:1]:
        case ["control-plane"]:
            from modelplane.control_plane.__main__ import main as run  # noqa: PLC0415 - one part per process
        case ["worker"]:
            from modelplane.deploy.worker.__main__ import main as run  # noqa: PLC0415 - one part per process
        case ["keys"]:
            from modelplane.control_plane.secrets.keys import main as run  # noqa: PLC0415 - one part per process
        case ["usage"]:
            from modelplane.deploy.usage.__main__ import main as run  # noqa: PLC0415 - one part per process
        case ["local-model"]:
            from modelplane.deploy.local_model import main as run  # noqa: PLC0415 - one part per process
        case _:
            return _run(_parser().parse_args(arguments))
    return run(arguments[1:])


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
        embedded=_embedded(parsed.worker_host),
        database_url=parsed.database_url,
        local_model=parsed.local_model,
        log_level=parsed.log_level,
        drain_seconds=parsed.drain_seconds,
        tls=public_tls(parsed.public_tls_cert, parsed.public_tls_key),
        admin_token=environ.get("MODELPLANE_ADMIN_TOKEN", ""),
        environment=environ,
    )
    try:
        asyncio.run(run(options, lambda line: print(line, flush=True)))
    except* UpError as group:
        raise _first(group) from None


def _embedded(worker_host: str) -> bool:
    embedded, obstacle = is_embedded(worker_host)
    if obstacle:
        print(f"workers run beside Envoy, not inside it: {obstacle}", file=sys.stderr)
    return embedded


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
        public_url=public_url(parsed.public_url),
        rest_workers=parsed.worker_host == EMBEDDED,
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
        "--worker-host",
        default=setting("WORKER_HOST", EMBEDDED),
        choices=(EMBEDDED, GRPC),
        help="whether workers run inside Envoys, where that can be had, or as servers of their own",
    )
    up.add_argument(
        "--database-url",
        default=setting("DATABASE_URL", ""),
        help="postgresql:// URL; empty: SQLite in the data directory",
    )
    up.add_argument(
        "--local-model", action="store_true", help="also serve a small model as `smollm2`"
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
    _add_public_tls(up)


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
        "--workers", default="127.0.0.1:9100", help="host:port of workers, with commas"
    )
    envoy.add_argument(
        "--worker-host",
        default=GRPC,
        choices=(EMBEDDED, GRPC),
        help="embedded: each worker runs inside an Envoy, and takes queries as they are; "
        "grpc: of some it is not known",
    )
    envoy.add_argument("--admin", help="host:port of Envoy's own admin page; none without it")
    envoy.add_argument(
        "--public-url", default="", help="URL that clients use, if a proxy before Envoy ends TLS"
    )
    _add_public_tls(envoy)


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
