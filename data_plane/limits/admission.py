"""What admits a query before a provider is called, and learns afterwards what it used.

`invocation.py` asks the gate; `upstreams/relay.py` sends the headers and asks whether a stream may
go on.
"""

from enum import Enum, auto
from typing import Protocol

from modelplane.adapters.providers.types import Query, Usage
from modelplane.adapters.shared.rpc.metadata import Metadata
from modelplane.data_plane.calls.tasks import TaskSpec
from modelplane.data_plane.snapshots.callers import Principal
from modelplane.data_plane.snapshots.snapshot import Endpoint


class Ending(Enum):
    """How an admitted query ended."""

    ANSWERED = auto()
    # The provider did not answer, or the caller was not answered.
    FAILED = auto()
    # The caller went away.
    CANCELLED = auto()


class Admission(Protocol):
    """One admitted query."""

    @property
    def headers(self) -> Metadata:
        """Metadata that tells the caller what is left."""

    @property
    def counts_output(self) -> bool:
        """Whether a stream has to be asked for as it goes."""

    def allows(self, output_tokens: int) -> bool:
        """Tell whether a stream that has had this many tokens may go on."""

    def settle(self, usage: Usage | None, ending: Ending) -> None:
        """Note what the query used, once it has ended; None: the provider has not said."""


class Gate(Protocol):
    """Admits queries."""

    async def admit(
        self, endpoint: Endpoint, principal: Principal, query: Query, spec: TaskSpec
    ) -> Admission:
        """Admit a query.

        Args:
            endpoint: Endpoint asked.
            principal: Who asks.
            query: The query.
            spec: What there is to know of its task.

        Raises:
            LimitExceeded: A limit of the endpoint does not allow it now.
        """


class Unlimited:
    """Admits everything, and is its own admission."""

    headers: Metadata = ()
    counts_output = False

    async def admit(
        self,
        endpoint: Endpoint,  # noqa: ARG002 - by protocol
        principal: Principal,  # noqa: ARG002
        query: Query,  # noqa: ARG002
        spec: TaskSpec,  # noqa: ARG002
    ) -> Admission:
        """Admit a query."""
        return self

    def allows(self, output_tokens: int) -> bool:  # noqa: ARG002 - by protocol
        """Tell that a stream may go on."""
        return True

    def settle(self, usage: Usage | None, ending: Ending) -> None:
        """Note nothing."""
