"""Registers the local model as an external model, through the public API like any user.

`supervisor.py` calls it once the deployment answers; `deploy/local/model.py` is what it registers.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

from modelplane.deploy.local.data_dir import DataDir
from modelplane.deploy.local.http_client import Answer, HttpClient
from modelplane.deploy.local.model import MODEL
from modelplane.deploy.local.options import UpError

_PATH = "/api/2.0/serving-endpoints"
_NOT_FOUND = 404
_POLL_SECONDS = 0.05


async def register(client: HttpClient, base_url: str, key: str, data_dir: DataDir) -> None:
    """Create the endpoint, or update it when the model's address or key changed.

    Returns when the workers serve it.

    Args:
        client: The public API, as the administrator.
        base_url: Base URL of the model's OpenAI-compatible API.
        key: API key of the model.
        data_dir: Where it is noted what was registered last: the API never returns a key.

    Raises:
        UpError: The API refused, or the workers did.
    """
    note = data_dir.path / "local-model.json"
    wanted = {"base_url": base_url, "key": key}
    current = await client.call("GET", f"{_PATH}/{MODEL}")
    if current.ok and _read(note) == wanted and _base_url(current.json()) == base_url:
        return
    config = _config(base_url, key)
    if current.status == _NOT_FOUND:
        answer = await client.call("POST", _PATH, {"name": MODEL, "config": config})
    else:
        answer = await client.call("PUT", f"{_PATH}/{MODEL}/config", config)
    _check(answer)
    await _until_served(client, answer)
    data_dir.write(note, json.dumps(wanted))


async def _until_served(client: HttpClient, answer: Answer) -> None:
    """Wait for the end of the rollout: it may outlast the answer, above all after a restart."""
    while (state := _state(answer)).get("config_update") != "UPDATE_FAILED":
        if state.get("config_update") == "NOT_UPDATING" and state.get("ready") == "READY":
            return
        await asyncio.sleep(_POLL_SECONDS)
        answer = await client.call("GET", f"{_PATH}/{MODEL}")
    reason = state.get("config_update_message", "no reason given")
    raise UpError(f"cannot register the local model: {reason}")


def _state(answer: Answer) -> dict[str, Any]:
    endpoint = answer.json() if answer.ok else None
    return endpoint.get("state", {}) if isinstance(endpoint, dict) else {}


def _config(base_url: str, key: str) -> dict[str, object]:
    external_model = {
        "name": MODEL,
        "provider": "openai",
        "task": "llm/v1/chat",
        "openai_config": {"openai_api_base": base_url, "openai_api_key_plaintext": key},
    }
    return {"served_entities": [{"name": MODEL, "external_model": external_model}]}


def _base_url(endpoint: Any) -> str | None:  # noqa: ANN401 - parsed JSON
    try:
        entity = endpoint["config"]["served_entities"][0]
        return str(entity["external_model"]["openai_config"]["openai_api_base"])
    except (KeyError, IndexError, TypeError):
        return None


def _read(note: Path) -> object:
    try:
        return json.loads(note.read_text())
    except (OSError, ValueError):
        return None


def _check(answer: Answer) -> None:
    if not answer.ok:
        reason = answer.json() or {}
        text = reason.get("message", "no answer") if isinstance(reason, dict) else "no answer"
        raise UpError(f"cannot register the local model: HTTP {answer.status}: {text}")
