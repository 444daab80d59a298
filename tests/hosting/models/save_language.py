"""Saves a small language model: `python save_language.py SOURCE FOLDER TASK METADATA`.

Runs in an environment of `transformers_models`; SOURCE is a folder of `tests.launcher.converter`.
"""

import json
import sys
from pathlib import Path

import mlflow
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer


def main(source: Path, folder: str, task: str, metadata: str) -> None:
    """Save it, as users save theirs."""
    kind = AutoModel if task == "llm/v1/embeddings" else AutoModelForCausalLM
    model = kind.from_pretrained(source / "model")
    tokenizer = AutoTokenizer.from_pretrained(source / "components" / "tokenizer")
    mlflow.transformers.save_model(
        transformers_model={"model": model, "tokenizer": tokenizer},
        path=folder,
        task=task,
        metadata={"task": task, **json.loads(metadata)},
        pip_requirements=["transformers"],
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
