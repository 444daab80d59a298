"""How many endpoints and versions of them there may be, since all workers hold them.

Endpoints that are made at the same moment are not counted by each other, so a few more than that
can come to be. Used by `lifecycle`.
"""

from dataclasses import dataclass

from modelplane.control_plane.errors import LimitExceeded, QuotaExceeded
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.endpoints import changes


@dataclass(frozen=True, slots=True)
class Quotas:
    """Greatest numbers.

    Attributes:
        endpoints: Endpoints of all together.
        endpoints_per_creator: Endpoints that somebody who is no administrator may have made.
        versions: Versions of an endpoint's configuration that are kept.
    """

    endpoints: int = 20_000
    endpoints_per_creator: int = 200
    versions: int = 200

    async def check(self, session: Session, principal: Principal) -> None:
        """Check that the principal may make one more endpoint.

        Raises:
            QuotaExceeded: The principal has made as many as one may have.
            LimitExceeded: The deployment has as many as it may.
        """
        if not principal.admin:
            own = await changes.count(session, principal.id)
            if own >= self.endpoints_per_creator:
                raise QuotaExceeded(
                    f"You have {own} endpoints already, and may have {self.endpoints_per_creator}; "
                    "delete one first, or let an administrator create it."
                )
        found = await changes.count(session, None)
        if found >= self.endpoints:
            raise LimitExceeded(
                f"There are {found} endpoints already, and may be {self.endpoints}; delete one "
                "first, or let the operator raise MODELPLANE_MAX_ENDPOINTS."
            )
