"""The forms of the user interface ask for what the protos have, for every provider."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modelserving.v1 import rules_pb2
from modelserving.v1.external_model_pb2 import ExternalModel

_ROOT = Path(__file__).parents[2]
_DESCRIPTORS = _ROOT / "protos" / "gen" / "modelserving.binpb"


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Give the form of each provider."""
    out = tmp_path_factory.mktemp("forms") / "providers.json"
    program: list[str | Path] = [sys.executable, _ROOT / "ui" / "provider_forms.py"]
    subprocess.run([*program, _DESCRIPTORS, out], check=True)
    return {form["provider"]: form for form in json.loads(out.read_text())}


def test_every_provider_has_a_form_with_all_that_can_be_set(
    forms: dict[str, dict[str, Any]],
) -> None:
    left = dict(forms)
    arms = ExternalModel.DESCRIPTOR.oneofs_by_name["provider_config"].fields
    for arm in arms:
        message = arm.message_type
        assert message is not None
        rules = message.GetOptions().Extensions[rules_pb2.provider_rules]
        form = left.pop(rules.provider)
        assert form["config_field"] == arm.name
        assert form["tasks"] == list(rules.tasks)
        assert len(form["cases"]) == len(rules.cases)
        secrets = {field["name"] for field in form["fields"] if field["secret"]}
        shown = {field["name"] for field in form["fields"]}
        settable = {
            field.name
            for field in message.fields
            if not field.GetOptions().Extensions[rules_pb2.not_available]
        }
        assert shown | {f"{name}_plaintext" for name in secrets} == settable
    assert not left


def test_a_form_says_what_a_field_is(forms: dict[str, dict[str, Any]]) -> None:
    fields = {field["name"]: field for field in forms["custom"]["fields"]}
    assert fields["custom_provider_url"]["description"] == "Full URL of the task's route."
    inner = {field["name"]: field for field in fields["api_key_auth"]["fields"]}
    assert inner["key"]["description"] == "Name of the header."
    assert inner["value"]["secret"]
    assert "value_plaintext" not in inner
