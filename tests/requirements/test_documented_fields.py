"""Every field of the documents' tables: accepted, shown again unless secret, right on the wire."""

import json

import pytest
from modelserving.v1.external_model_pb2 import ExternalModel
from modelserving.v1.rules_pb2 import not_available

from tests.e2e.references import refer
from tests.e2e.rest import ENDPOINTS, Json, Rest
from tests.emulators.fleet import Fleet
from tests.emulators.google_cloud_vertex_ai.keys import PEM
from tests.requirements.table_fields import CASES, Case
from tests.requirements.wire import QUERIES

PLAINTEXT = "_plaintext"
# Its configurations have tests of their own: it needs the worker's identity at AWS.
ELSEWHERE = {"instance_profile_arn"}


def served_by(model: Json) -> Json:
    return {
        "name": "fields",
        "config": {"served_entities": [{"name": "e", "external_model": model}]},
    }


def documented_fields() -> set[str]:
    """Return the fields of the configurations of all documented providers."""
    configs = {case.config_name for case in CASES}
    fields = ExternalModel.DESCRIPTOR.fields_by_name
    messages = [fields[name].message_type for name in configs]
    return {
        field.name
        for one in messages
        if one is not None
        for field in one.fields
        if not field.GetOptions().Extensions[not_available]
    }


def test_each_field_has_a_case() -> None:
    given = {name for case in CASES for name in case.config}
    references = {name.removesuffix(PLAINTEXT) for name in given}
    assert given | references | ELSEWHERE == documented_fields()


@pytest.mark.parametrize("by_reference", [False, True], ids=["plaintext", "reference"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_fields_reach_the_provider(
    case: Case, rest: Rest, fleet: Fleet, *, by_reference: bool
) -> None:
    emulator = fleet.emulators[case.wire.emulator]
    model = case.external_model(emulator.origin)
    shown = refer(rest, "fields", model) if by_reference else without_plaintext(model)
    created = rest.create(served_by(shown if by_reference else model))
    assert created["config"]["served_entities"][0]["external_model"] == shown
    assert created["state"]["ready"] == "READY"
    rest.call("POST", "/serving-endpoints/fields/invocations", QUERIES[case.task])
    case.wire.check(emulator.requests[-1], emulator.origin)


def without_plaintext(model: Json) -> Json:
    return {
        name: without_plaintext(value) if isinstance(value, dict) else value
        for name, value in model.items()
        if not name.endswith(PLAINTEXT)
    }


def test_a_bare_private_key_is_refused_with_what_to_give_instead(rest: Rest) -> None:
    """A key without its owner's address, as the table may be read, opens nothing at Google."""
    (case,) = (one for one in CASES if one.wire.emulator == "google-cloud-vertex-ai")
    model = case.external_model("")
    model[case.config_name]["private_key_plaintext"] = PEM
    refused = rest.send("POST", ENDPOINTS, served_by(model))
    assert refused.status_code == 400
    assert "must be the whole key file" in refused.json()["message"]
    assert json.dumps(PEM)[1:-1] not in refused.text
