"""Which endpoint a client means by a model's name."""

import pytest

from modelplane.data_plane.calls.model_names import nearest, resolve

NAMES = {
    name: name
    for name in (
        "claude-sonnet-4-5",
        "claude",
        "databricks-gemma",
        "databricks-gemma-3-12b",
        "talk-20250101",
    )
}
ALIASES = {"gpt-4o": "claude", "claude": "never", "team/fast": "talk-20250101"}


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("claude", "claude"),
        ("claude-sonnet-4-5[1m]", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("databricks-claude-sonnet-4-5", "claude-sonnet-4-5"),
        ("system.ai.databricks-claude", "claude"),
        ("models/claude", "claude"),
        ("gemma", "databricks-gemma"),
        ("system.ai.gemma", "databricks-gemma"),
        ("system.ai.gemma_3_12b", "databricks-gemma-3-12b"),
        ("talk-20250101", "talk-20250101"),
        ("gpt-4o", "claude"),
        ("models/gpt-4o", "claude"),
        ("gpt-4o-20250101[1m]", "claude"),
        ("team/fast", "talk-20250101"),
        ("nobody", None),
        ("", None),
    ],
)
def test_a_name_is_read_as_clients_write_it(asked: str, meant: str | None) -> None:
    assert resolve(NAMES, ALIASES, asked) == meant


def test_names_that_may_have_been_meant_are_few() -> None:
    assert nearest(NAMES, "claude-sonet-4-5") == ["claude-sonnet-4-5"]
    assert nearest(NAMES, "zzz") == []
    assert len(nearest((f"claude-{number}" for number in range(1_000)), "claude-1")) == 3


def test_what_is_too_long_to_be_a_name_is_not_read() -> None:
    # Else it would take hours.
    name = "[" * 1_000_000
    assert resolve(NAMES, ALIASES, name) is None
    assert nearest(NAMES, name) == []
