"""What is where in the folder of a model that `mlflow.transformers` has logged.

https://mlflow.org/docs/latest/ml/deep-learning/transformers/ and, for the tasks `llm/v1/…`,
https://mlflow.org/docs/latest/ml/deep-learning/transformers/guide/ . Used by `cache.py` and by
engines that load the folder as it is.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TASKS = ("chat", "completions", "embeddings")
POOLINGS = ("cls", "mean")
_LANGUAGE = "llm/v1/"
_PARSER = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,63})?")
_MOST_BYTES = 1 << 20
_LOADER: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


class ModelUnfit(Exception):
    """The model cannot be converted, or not served as it is; the text is for its owner."""


@dataclass(frozen=True, slots=True)
class TransformersFolder:
    """A logged model.

    Attributes:
        weights: Folder of configuration and weights.
        tokenizer: Folder of the tokenizer, which may be the same.
        task: One of `TASKS`.
        pooling: One of `POOLINGS`: how vectors of tokens become the vector of a text.
        tool_parser: How vLLM reads the calls of tools in what the model writes; empty: not at all.
    """

    weights: Path
    tokenizer: Path
    task: str
    pooling: str
    tool_parser: str = ""


def read_folder(model: Path) -> TransformersFolder:
    """Return what is where in a model's folder.

    Vectors are made from the first token's by default, as MLflow itself and the models of BGE and
    GTE do it; `metadata.pooling` says otherwise.

    Raises:
        ModelUnfit: The weights are not there, or it is no such model.
    """
    described = _read(model / "MLmodel")
    flavor = _mapping(_mapping(described, "flavors"), "transformers")
    metadata = _mapping(described, "metadata")
    task = str(metadata.get("task") or flavor.get("inference_task") or "")
    name = task.removeprefix(_LANGUAGE)
    if not task.startswith(_LANGUAGE) or name not in TASKS:
        raise ModelUnfit(
            f"The model has the task {task or '(none)'}; an engine serves "
            f"{', '.join(_LANGUAGE + each for each in TASKS)}. Log it with task=…"
        )
    if "peft_adaptor" in flavor:
        raise ModelUnfit(
            "The model is an adapter (PEFT), which MLflow logs without its base. Merge it "
            "(merge_and_unload), and log the whole model."
        )
    if not flavor.get("model_binary"):
        raise ModelUnfit(
            "The model's weights are not in the registry: it was logged with "
            f"save_pretrained=False, as {flavor.get('source_model_name') or 'a name of a hub'}. "
            "Log it with save_pretrained=True, or call persist_pretrained_model of "
            "mlflow.transformers."
        )
    weights = _inside(model, str(flavor["model_binary"]))
    tokenizer = model / "components" / "tokenizer"
    pooling = str(metadata.get("pooling") or POOLINGS[0])
    if pooling not in POOLINGS:
        raise ModelUnfit(f"metadata.pooling is {pooling[:50]}; it can be {' or '.join(POOLINGS)}.")
    parser = str(metadata.get("tool_call_parser") or "")
    if not _PARSER.fullmatch(parser):
        raise ModelUnfit(f"metadata.tool_call_parser is {parser[:50]}, which is no name of one.")
    place = tokenizer if tokenizer.is_dir() else weights
    return TransformersFolder(weights, place, name, pooling, parser)


def read_metadata(model: Path) -> Mapping[str, Any]:
    """Return what whoever logged a model has said of it, beside what MLflow says.

    Raises:
        ModelUnfit: Its file cannot be read.
    """
    return _mapping(_read(model / "MLmodel"), "metadata")


def _read(path: Path) -> Mapping[str, Any]:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES)
    try:
        found = yaml.load(content, Loader=_LOADER)  # noqa: S506 - makes texts, lists and mappings
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelUnfit("The model's MLmodel file cannot be read; log it again.") from error
    return found if isinstance(found, dict) else {}


def _mapping(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _inside(model: Path, name: str) -> Path:
    path = (model / name).resolve()
    if not path.is_relative_to(model.resolve()) or not path.is_dir():
        raise ModelUnfit(
            f"The model's folder has no {name[:50]} with weights; log it as a folder, with "
            "save_pretrained=True."
        )
    return path
