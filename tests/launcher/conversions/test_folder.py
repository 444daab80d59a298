"""What is where in the folder of a logged model, and what cannot be served."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelplane.launcher.conversions.folder import ModelUnfit, read_folder


def write(folder: Path, flavor: dict[str, Any], metadata: dict[str, Any]) -> Path:
    (folder / "model").mkdir()
    described = {"flavors": {"transformers": flavor}, "metadata": metadata}
    (folder / "MLmodel").write_text(json.dumps(described))
    return folder


def test_the_parts_are_found(tmp_path: Path) -> None:
    (tmp_path / "components" / "tokenizer").mkdir(parents=True)
    write(tmp_path, {"model_binary": "model"}, {"task": "llm/v1/chat", "pooling": "mean"})
    found = read_folder(tmp_path)
    assert found.weights == tmp_path / "model"
    assert found.tokenizer == tmp_path / "components" / "tokenizer"
    assert (found.task, found.pooling) == ("chat", "mean")


def test_the_task_of_the_metadata_comes_first(tmp_path: Path) -> None:
    flavor = {"model_binary": "model", "inference_task": "llm/v1/chat"}
    write(tmp_path, flavor, {"task": "llm/v1/completions"})
    assert read_folder(tmp_path).task == "completions"
    assert read_folder(tmp_path).tokenizer == tmp_path / "model"


@pytest.mark.parametrize(
    ("flavor", "metadata", "told"),
    [
        ({"model_binary": "model"}, {}, r"task \(none\)"),
        ({"model_binary": "model"}, {"task": "llm/v1/rerank"}, "llm/v1/rerank"),
        ({"source_model_name": "org/name"}, {"task": "llm/v1/chat"}, "org/name"),
        ({"peft_adaptor": "peft"}, {"task": "llm/v1/chat"}, "merge_and_unload"),
        ({"model_binary": "../.."}, {"task": "llm/v1/chat"}, "no ../.."),
        ({"model_binary": "gone"}, {"task": "llm/v1/chat"}, "no gone"),
        ({"model_binary": "model"}, {"task": "llm/v1/chat", "pooling": "max"}, "cls or mean"),
    ],
)
def test_what_cannot_be_served_is_said_in_words(
    tmp_path: Path, flavor: dict[str, Any], metadata: dict[str, Any], told: str
) -> None:
    write(tmp_path, flavor, metadata)
    with pytest.raises(ModelUnfit, match=told):
        read_folder(tmp_path)
