"""A registry whose only model that answers is an emulator, which writes at the pace it is told."""

import json
from pathlib import Path

MODEL = "main.llm.paced"
# Of its process: seconds that each token takes.
PACE = "EMULATED_TOKEN_SECONDS"
# By its size one replica is estimated to do so many tokens a second.
CHUNK = 80
_MLMODEL = {
    "flavors": {"transformers": {"model_binary": "model"}},
    "metadata": {"task": "llm/v1/chat", "engine": "vllm"},
    "model_size_bytes": 145_000_000,
}


def fill_registry(registry: Path) -> None:
    """Lay out the model, and one whose refusal tells that the launcher is there."""
    weights = registry / MODEL / "1" / "model"
    weights.mkdir(parents=True)
    (weights / "config.json").write_text(json.dumps({"max_position_embeddings": 4096}))
    (weights / "tokenizer_config.json").write_text("{}")
    (weights.parent / "MLmodel").write_text(json.dumps(_MLMODEL))
    probe = registry / "main.ml.iris" / "1"
    probe.mkdir(parents=True)
    (probe / "MLmodel").write_text(json.dumps({"flavors": {"python_function": {}}}))
