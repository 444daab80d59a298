"""Which engine serves a model, and what is said where none does."""

import ast
from collections.abc import Mapping
from pathlib import Path

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import AvailableEngine, Capacity, ReplicaSize

from modelplane import launcher
from modelplane.adapters.registries.mlmodel import MlModel, parse_mlmodel
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.hosting.engine_rules import (
    COMMAND,
    CONVERTIBLE,
    LLAMA_CPP,
    PYFUNC,
    USUAL_ENGINES,
    VLLM,
    choose_engine,
    engines_of,
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
        (LLAMA, "llm/v1/chat", (), "there is none for this workload_type"),
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


MAMBA = {"pipeline_model_type": "MambaForCausalLM", "model_binary": "model"}


def test_vllm_serves_what_llama_cpp_cannot_and_what_has_gpus() -> None:
    both = (LLAMA_CPP, VLLM)
    assert chosen(LLAMA, engines=both) == LLAMA_CPP
    assert chosen(MAMBA, engines=both) == VLLM
    assert chosen(LLAMA, "llm/v1/embeddings", engines=both) == VLLM
    assert chosen(LLAMA, engines=(VLLM,)) == VLLM
    # What no engine could load is refused for each of them.
    with pytest.raises(InvalidParameter, match="merge_and_unload"):
        chosen({**LLAMA, "peft_adaptor": "peft"}, engines=(VLLM,))


def asking(engine: str) -> MlModel:
    metadata = {"task": "llm/v1/chat", "engine": engine}
    return parse_mlmodel(mlmodel(flavors={"transformers": LLAMA}, metadata=metadata))


def test_a_model_may_ask_for_its_engine() -> None:
    assert choose_engine(asking(VLLM), (LLAMA_CPP, VLLM)) == VLLM
    assert choose_engine(asking(LLAMA_CPP), (LLAMA_CPP, VLLM)) == LLAMA_CPP
    with pytest.raises(InvalidParameter, match="asks for the engine vllm, which is not there"):
        choose_engine(asking(VLLM), (LLAMA_CPP,))


def test_gguf_has_no_use_for_gpus() -> None:
    model = parse_mlmodel(mlmodel(flavors={"gguf": {}}, metadata={"task": "llm/v1/chat"}))
    assert choose_engine(model, (LLAMA_CPP,)) == LLAMA_CPP
    with pytest.raises(InvalidParameter, match="choose a workload_type without GPUs"):
        choose_engine(model, (VLLM,))


def test_a_command_is_run_only_where_the_operator_lets_it() -> None:
    model = parse_mlmodel(mlmodel(metadata={"task": "llm/v1/chat", "entrypoint": "vllm serve ."}))
    assert choose_engine(model, (COMMAND,)) == COMMAND
    with pytest.raises(InvalidParameter, match="MODELPLANE_LAUNCHER_COMMANDS=yes"):
        choose_engine(model, (LLAMA_CPP,))


def test_a_launcher_says_what_it_has() -> None:
    assert engines_of(Capacity()) == USUAL_ENGINES
    said = engines_of(
        Capacity(
            engines=[
                AvailableEngine(name=LLAMA_CPP, without_gpus=True),
                AvailableEngine(name=VLLM, with_gpus=True),
            ]
        )
    )
    assert set(said.on(ReplicaSize(gpus=2))) == {VLLM}
    assert set(said.on(ReplicaSize())) == {LLAMA_CPP}


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
