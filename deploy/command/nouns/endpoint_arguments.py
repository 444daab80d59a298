"""Arguments that verbs of endpoints share.

Before: `endpoints`, `queries`, `versions`, `permissions`.
"""

from modelplane.deploy.command.api.client import Json
from modelplane.deploy.command.api.rollouts import ENDPOINTS
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.api.verbs import argument

# Clients of the mirrored product wait as long.
_ROLLOUT_SECONDS = 1200.0


def list_endpoints(session: Session) -> list[Json]:
    """Return the endpoints that the caller may see."""
    return list(session.client.pages(ENDPOINTS, "endpoints", {}))


def names_of_endpoints(session: Session) -> list[str]:
    """Return the names of the endpoints that the caller may see."""
    return [str(endpoint["name"]) for endpoint in list_endpoints(session)]


NAME = argument("name", help="name of the endpoint", completer=names_of_endpoints)
WAIT = (
    argument(
        "--no-wait",
        dest="wait",
        action="store_false",
        help="do not wait until all workers serve it",
    ),
    argument(
        "--timeout",
        type=float,
        default=_ROLLOUT_SECONDS,
        metavar="SECONDS",
        help="how long to wait; default %(default)g",
    ),
)
