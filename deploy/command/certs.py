"""The command `modelplane certs`: makes the certificates by which parts know each other.

Called by `cli.py`; `deploy/certificates.py` makes them.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from modelplane.adapters.shared.settings import environment, load, setting
from modelplane.deploy.certificates import CertificateDir

_USAGE_ERROR = 2


@dataclass(frozen=True)
class CertsOptions:
    """Make the certificates by which planes on several machines know each other."""

    dir: Path = setting(Path("tls"), "where they are kept; what is there stays", variable=False)
    hosts: str = setting(
        "127.0.0.1,localhost",
        "names and addresses under which workers reach control planes, with commas",
        variable=False,
    )


def main(argv: Sequence[str]) -> int:
    """Make what is missing; return the exit status."""
    options = load(CertsOptions, "modelplane certs", argv, environment())
    hosts = [host.strip() for host in options.hosts.split(",") if host.strip()]
    try:
        made = CertificateDir(options.dir).ensure(hosts, datetime.now(UTC))
    except OSError as error:
        print(f"modelplane certs: cannot use {options.dir}: {error.strerror}", file=sys.stderr)
        return _USAGE_ERROR
    except ValueError as error:
        print(f"modelplane certs: {error}", file=sys.stderr)
        return _USAGE_ERROR
    for file in made:
        print(f"made {file}")
    return 0
