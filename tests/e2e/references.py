"""Endpoints of external models whose credentials are references to stored secrets.

A model of the conformance cases holds its credentials as plain text; here each of them becomes a
secret and a reference to it, as a user would do it.
"""

from typing import Any

from google.protobuf.json_format import MessageToDict
from modelserving.v1.external_model_pb2 import ExternalModel

from tests.e2e.rest import Json, Rest

_PLAINTEXT = "_plaintext"


def create_by_reference(rest: Rest, name: str, served: str, model: ExternalModel) -> Json:
    """Create an endpoint of one served entity, its credentials in a scope of their own."""
    given = MessageToDict(model, preserving_proto_field_name=True)
    external = refer(rest, model.provider, given)
    entity = {"name": served, "external_model": external}
    created = rest.create({"name": name, "config": {"served_entities": [entity]}})
    assert created["config"]["served_entities"][0]["external_model"] == external
    return created


def refer(rest: Rest, scope: str, model: Json) -> Json:
    """Return an external model with references to secrets, which this puts into a scope."""
    scopes = rest.call("GET", "/api/2.0/secrets/scopes/list").get("scopes", [])
    if scope not in [one["name"] for one in scopes]:
        rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": scope})
    return _referring(rest, scope, model)


def _referring(rest: Rest, scope: str, config: Json) -> Json:
    referring: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            referring[name] = _referring(rest, scope, value)
        elif name.endswith(_PLAINTEXT):
            key = name.removesuffix(_PLAINTEXT)
            secret = {"scope": scope, "key": key, "string_value": value}
            rest.call("POST", "/api/2.0/secrets/put", secret)
            referring[key] = f"{{{{secrets/{scope}/{key}}}}}"
        else:
            referring[name] = value
    return referring
