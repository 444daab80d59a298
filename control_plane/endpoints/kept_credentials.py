"""Credentials that an update keeps: given in plaintext once, never returned, and still in use.

A credential is kept only where it goes on to the same place: whoever may change an endpoint must
not have its key sent to an address of their own. Before: `lifecycle`. After: `credential_slots`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from modelserving.v1.endpoint_pb2 import EndpointConfig
from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.adapters.shared.credential_slots import find_credentials
from modelplane.control_plane.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class Kept:
    """What can be kept of the version that serves.

    Attributes:
        config: Its configuration.
        plaintexts: Its credentials by path.
    """

    config: EndpointConfig = field(default_factory=EndpointConfig)
    plaintexts: Mapping[str, str] = field(default_factory=dict, repr=False)


NOTHING = Kept()


def keep_credentials(config: EndpointConfig, names: Collection[str], kept: Kept) -> None:
    """Put the credentials of served entities into `config`, where they are to stay.

    Args:
        config: The new configuration, which is changed.
        names: Entities whose credentials are to stay.
        kept: What serves.

    Raises:
        InvalidParameter: One of them has no such credential, or would send it elsewhere.
    """
    if not names:
        return
    served = {entity.name: entity.external_model for entity in kept.config.served_entities}
    given = {entity.name: entity.external_model for entity in config.served_entities}
    # A name may stand there often.
    wanted = dict.fromkeys(names)
    for name in wanted:
        if name not in given or not any(path.startswith(f"{name}/") for path in kept.plaintexts):
            raise InvalidParameter(
                f"keep_credentials_of: '{name[:200]}' is no entity of this configuration that "
                "serves now with a credential given in plaintext; take it out of the list, and "
                "give the credential."
            )
        if _place(given[name]) != _place(served[name]):
            raise InvalidParameter(
                f"keep_credentials_of: served entity '{name[:200]}' has another provider, or other "
                "settings of it, than now; give its credential again, or leave all but the "
                "model's name and task as they are."
            )
    for slot in find_credentials(config):
        if slot.entity in wanted and slot.path in kept.plaintexts:
            slot.resolve(kept.plaintexts[slot.path])


def _place(model: ExternalModel) -> ExternalModel:
    """Return where the credential of a model goes, which is all but what is asked there."""
    place = ExternalModel()
    place.CopyFrom(model)
    for name in ("name", "task"):
        place.ClearField(name)
    return place
