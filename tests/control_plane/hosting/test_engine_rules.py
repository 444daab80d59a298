"""Which engine serves a model, and what is said where none does."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest

from modelplane import launcher
from modelplane.adapters.registries.mlmodel import parse_mlmodel
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.hosting.engine_rules import (
    CONVERTIBLE,
    LLAMA_CPP,
    PYFUNC,
    choose_engine,
)
from tests.control_plane.hosting.worlds import mlmodel

LLAMA = {"pipeline_model_type": "LlamaForCausalLM", "model_binary": "model"}
BERT = {"pipeline_model_type": "BertModel", "model_binary": "model"}


def chosen(
    flavor: Mapping[str, object], task: str = "llm/v1/chat", engines: tuple[str, ...] = (LLAMA_CPP,)
) -> str:
    flavors = {"transformers": flavor, "python_function": {}}
    model = parse_mlmodel(mlmodel(flavors=flavors, metadata={"task": task} if task else {}))
    return choose_engine(model, engines)


def test_a_language_model_is_served_by_an_engine_and_nothing_else_is() -> None:
    assert chosen(LLAMA) == LLAMA_CPP
    assert chosen(BERT, "llm/v1/embeddings") == LLAMA_CPP
    assert chosen({"model_binary": "model"}) == LLAMA_CPP
    assert chosen({**LLAMA, "inference_task": "llm/v1/completions"}, "") == LLAMA_CPP
    # Without a task of these it is a Python function like any other.
    assert chosen(LLAMA, "") == PYFUNC
    assert choose_engine(parse_mlmodel(mlmodel()), ()) == PYFUNC


@pytest.mark.parametrize(
    ("flavor", "task", "engines", "told"),
    [
        (LLAMA, "llm/v1/chat", (), "this deployment has none"),
        (LLAMA, "llm/v1/rerank", (LLAMA_CPP,), "task llm/v1/rerank, which no engine serves"),
        (
            {"source_model_name": "org/model"},
            "llm/v1/chat",
            (LLAMA_CPP,),
            "save_pretrained=False, as 'org/model' of a hub",
        ),
        ({**LLAMA, "peft_adaptor": "peft"}, "llm/v1/chat", (LLAMA_CPP,), "merge_and_unload"),
        (
            {**LLAMA, "pipeline_model_type": "MambaForCausalLM"},
            "llm/v1/chat",
            (LLAMA_CPP,),
            "is a MambaForCausalLM, which no engine of this deployment serves: llama.cpp serves",
        ),
        (BERT, "llm/v1/chat", (LLAMA_CPP,), "cannot serve the task llm/v1/chat; log it with "),
        (LLAMA, "llm/v1/embeddings", (LLAMA_CPP,), "task='llm/v1/chat'"),
    ],
)
def test_what_no_engine_serves_is_refused_in_words(
    flavor: Mapping[str, object], task: str, engines: tuple[str, ...], told: str
) -> None:
    with pytest.raises(InvalidParameter) as refused:
        chosen(flavor, task, engines)
    assert told in str(refused.value)


def test_what_is_promised_can_be_converted() -> None:
    # Read, since what it needs is in an environment of its own.
    source = (Path(launcher.__path__[0]) / "converter" / "families.py").read_text()
    assigned = {
        node.target.id: node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    families = assigned["FAMILIES"]
    assert isinstance(families, ast.Dict)
    assert [ast.literal_eval(key) for key in families.keys if key] == list(CONVERTIBLE)
