"""What it takes to answer one call: the call, what is known of it, and who has admitted it.

`invocation.py` makes it, `attempts.py` and `relay.py` answer it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from modelplane.adapters.providers.types import Image, JsonObject, Plan, Query
from modelplane.adapters.shared.rpc.metadata import ADAPTED_PARAMS, REQUEST_ID, Metadata
from modelplane.data_plane.calls.call import Call, Reply
from modelplane.data_plane.calls.record import Record, attempt_headers
from modelplane.data_plane.limits.admission import Admission
from modelplane.data_plane.snapshots.snapshot import Endpoint, ServedEntity


@dataclass(slots=True)
class Exchange:
    """What it takes to answer one call.

    Attributes:
        hops: Gateways that the call has passed; see `hops.py`.
        expires: When the answer must have begun, on the clock of the event loop; set by
            `attempts.py`.
        images: Content of the images that the query names and a provider does not fetch, by URL;
            None: none is needed.
    """

    call: Call
    reply: Reply
    record: Record
    endpoint: Endpoint
    query: Query
    admission: Admission
    hops: int = 0
    expires: float = inf
    images: Mapping[str, Image] | None = None

    def metadata(self, entity: ServedEntity, plan: Plan) -> Metadata:
        """Return the metadata of the answer that an entity gave to a plan."""
        request_id = (REQUEST_ID, self.call.request_id)
        own = (*entity.headers, request_id, *self.admission.headers)
        if self.record.attempts:
            own += attempt_headers(self.record, under_way=1)
        return (*own, (ADAPTED_PARAMS, ", ".join(plan.adapted))) if plan.adapted else own


def model_of(answer: JsonObject) -> str:
    """Return the model that an answer or a chunk says has answered; empty: none."""
    model = answer.get("model")
    return model if isinstance(model, str) else ""
