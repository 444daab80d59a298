import json

import pytest

from modelplane.control_plane.secrets.stores.declarations import parse_declarations

VAULT = {"backend": "HASHICORP_VAULT", "address": "https://vault:8200", "path": "models"}


def test_without_a_setting_there_are_none() -> None:
    assert parse_declarations(" ") == parse_declarations("{}") == {}


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        ([], "must be a JSON object"),
        ({"a b": {"backend": "FILES"}}, "scope 'a b': the name must have"),
        ({"a": "FILES"}, "scope 'a': backend must be one of ENVIRONMENT, FILES"),
        ({"a": {"backend": "DATABRICKS"}}, "backend must be one of"),
        ({"a": {"backend": []}}, "backend must be one of"),
        ({"a": {"backend": "FILES"}}, "directory is missing"),
        ({"a": {"backend": "FILES", "directory": ""}}, "a text that is not empty"),
        ({"a": {"backend": "FILES", "directory": 1}}, "a text that is not empty"),
        ({"a": {"backend": "ENVIRONMENT", "prefix": "P_", "path": "x"}}, "path is unknown"),
        ({"a": {"backend": "ENVIRONMENT", "prefix": ""}}, "a text that is not empty"),
        ({"a": {"backend": "ENVIRONMENT", "prefix": "M"}}, "must leave out MODELPLANE_"),
        ({"a": {"backend": "ENVIRONMENT", "prefix": "MODELPLANE_MASTER"}}, "must leave out"),
        ({"a": VAULT}, "exactly one of token and token_file"),
        ({"a": VAULT | {"token": "secret-1", "token_file": "f"}}, "exactly one of token"),
    ],
)
def test_what_is_refused(declared: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as error:
        parse_declarations(json.dumps(declared))
    assert "secret-1" not in str(error.value)


def test_what_is_no_json_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="must be JSON") as error:
        parse_declarations('{"a": secret-1}')
    assert "secret-1" not in str(error.value)
