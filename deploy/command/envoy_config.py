"""The command `modelplane envoy-config`: prints what an Envoy before the planes starts with.

Called by `cli.py`; `deploy/envoy/config.py` builds it.
"""

import sys
from collections.abc import Sequence

from modelplane.adapters.shared.settings import environment, load
from modelplane.deploy.envoy.config import render
from modelplane.deploy.envoy.options import EnvoyOptions

_USAGE_ERROR = 2


def main(argv: Sequence[str]) -> int:
    """Print the configuration; return the exit status."""
    options = load(EnvoyOptions, "modelplane envoy-config", argv, environment())
    try:
        print(render(options))
    except ValueError as error:
        print(f"modelplane envoy-config: {error}", file=sys.stderr)
        return _USAGE_ERROR
    return 0
