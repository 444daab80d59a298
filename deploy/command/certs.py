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
    launcher_hosts: str = setting(
        "",
        "names and addresses under which KEDA reaches the launcher, with commas; with any, KEDA "
        "gets a certificate, too",
        variable=False,
    )


def main(argv: Sequence[str]) -> int:
    """Make what is missing; return the exit status."""
    options = load(CertsOptions, "modelplane certs", argv, environment())
    directory, now = CertificateDir(options.dir), datetime.now(UTC)
    try:
        made = directory.ensure(_names(options.hosts), now, _names(options.launcher_hosts))
    except OSError as error:
        print(f"modelplane certs: cannot use {options.dir}: {error.strerror}", file=sys.stderr)
        return _USAGE_ERROR
    except ValueError as error:
        print(f"modelplane certs: {error}", file=sys.stderr)
        return _USAGE_ERROR
    for file in made:
        print(f"made {file}")
    return 0


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
