"""Reads the printed examples, and sends them to the emulated provider instead of the real one.

The only change to an example is the field `openai_api_base`, added where the provider is OpenAI,
so that queries reach the emulator.
"""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

from tests.e2e.rest import Json
from tests.emulators.openai import OpenAiEmulator

_CASES = Path(__file__).parent / "cases"


def printed(name: str) -> Json:
    """Return an example, as printed."""
    parsed = json.loads((_CASES / f"{name}.json").read_text())
    assert isinstance(parsed, dict)
    return parsed


def redirected(example: Json, provider: OpenAiEmulator) -> Json:
    """Return an example whose OpenAI models are those of the emulator."""
    example = deepcopy(example)
    for served in example.get("config", example)["served_entities"]:
        config = served["external_model"].get("openai_config")
        if config is not None and "openai_api_type" not in config:
            config["openai_api_base"] = provider.url
    return example


def assert_contains(answer: Any, expected: Any, path: str = "") -> None:
    """Assert that an answer holds all that the document prints: same fields, numbers, order.

    `...` in the expectation stands for whatever is there, as in the documents. An answer may hold
    more fields than are printed.
    """
    if expected is ...:
        return
    assert type(answer) is type(expected), f"{path}: {answer!r} instead of {expected!r}"
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert name in answer, f"{path}.{name} is absent"
            assert_contains(answer[name], value, f"{path}.{name}")
    elif isinstance(expected, list):
        assert len(answer) == len(expected) or expected == [...], path
        for index, (item, value) in enumerate(zip(answer, expected, strict=False)):
            assert_contains(item, value, f"{path}[{index}]")
    else:
        assert answer == expected, f"{path}: {answer!r} instead of {expected!r}"
