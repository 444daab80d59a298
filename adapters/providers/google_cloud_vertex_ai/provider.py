"""Google Cloud Vertex AI: which adapter serves a model, and where the model is.

The configuration has no field for the service account's address, without which its key is of no
use, so `private_key` holds the whole JSON key file. The model may be named as in Google's lists
(`gemini-1.5-pro`), with its publisher (`anthropic/claude-3-5-sonnet@20240620`), or, when it was
fine-tuned, by the number or the full resource name of its endpoint.

Built by `registry.py`; `adapter.py` holds what the adapters share.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import quote

from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.adapters.providers.canonical.answers import WALL_CLOCK, Clock
from modelplane.adapters.providers.credentials.signers import TokenSigner
from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.google_cloud_vertex_ai.adapter import Target, VertexAdapter
from modelplane.adapters.providers.google_cloud_vertex_ai.claude import ClaudeAdapter
from modelplane.adapters.providers.google_cloud_vertex_ai.embeddings import (
    EmbedContentAdapter,
    PredictEmbeddingAdapter,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.gemini.adapters import (
    GeminiChatAdapter,
    GeminiCompletionAdapter,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.palm import (
    PALM_CHAT_MODELS,
    PALM_TEXT_MODELS,
    PalmChatAdapter,
    PalmTextAdapter,
)
from modelplane.adapters.providers.google_cloud_vertex_ai.service_account import (
    ServiceAccountTokens,
    parse_service_account,
)
from modelplane.adapters.providers.types import Task

# Parts of a host name and of a path: nothing that could lead the access token elsewhere.
_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]*")
_MULTI_REGIONS = ("eu", "us")
_CLAUDE = "claude"
_GOOGLE, _ANTHROPIC = "google/", "anthropic/"
_RESOURCE = re.compile(
    r"projects/[^/]+/locations/[^/]+/(?:endpoints|publishers/[^/]+/models)/[^/]+"
)

_Adapters: TypeAlias = Mapping[str, type[VertexAdapter]]
_EMBEDDINGS: _Adapters = {Task.EMBEDDINGS: PredictEmbeddingAdapter}
_GEMINI_EMBEDDINGS: _Adapters = {Task.EMBEDDINGS: EmbedContentAdapter}
_GEMINI_EMBEDDING = "gemini-embedding-"
# Of Gemini's embedding models, the first generation is still asked by `predict`.
_PREDICTING = ("gemini-embedding-001", "gemini-embedding-exp")
# A fine-tuned model is a Gemini, too.
_GEMINI: _Adapters = {Task.CHAT: GeminiChatAdapter, Task.COMPLETIONS: GeminiCompletionAdapter}
# By the beginning of the model's name.
_FAMILIES: Mapping[str, _Adapters] = {
    _CLAUDE: {Task.CHAT: ClaudeAdapter},
    **{name: {Task.CHAT: PalmChatAdapter} for name in PALM_CHAT_MODELS},
    **{name: {Task.COMPLETIONS: PalmTextAdapter} for name in PALM_TEXT_MODELS},
}


def build_vertex_adapter(model: ExternalModel, clock: Clock = WALL_CLOCK) -> VertexAdapter:
    """Return the adapter of an external model.

    Args:
        model: The external model; its credential is resolved.
        clock: Wall time, seconds since the epoch.

    Raises:
        ConfigRefused: The configuration cannot work; the text says what to change.
    """
    config = model.google_cloud_vertex_ai_config
    if not config.private_key_plaintext:
        raise ConfigRefused("private_key has no value")
    account = parse_service_account(config.private_key_plaintext)
    project = config.project_id or account.project_id
    if not _PROJECT.fullmatch(project):
        raise ConfigRefused("project_id must be the id of a Google Cloud project")
    if not _REGION.fullmatch(config.region):
        raise ConfigRefused("region must be a Vertex AI location such as us-central1 or global")
    path, name = _locate(model.name, f"projects/{project}/locations/{config.region}")
    target = Target(
        provider=model.provider,
        model=name,
        url=f"https://{_host(config.region)}/v1/{path}",
        signer=TokenSigner(ServiceAccountTokens(model.provider, account)),
        clock=clock,
    )
    return _choose(model.task, name)(target)


def _host(region: str) -> str:
    if region == "global":
        return "aiplatform.googleapis.com"
    if region in _MULTI_REGIONS:
        return f"aiplatform.{region}.rep.googleapis.com"
    return f"{region}-aiplatform.googleapis.com"


def _locate(name: str, parent: str) -> tuple[str, str]:
    """Return the path of a model, and its name without its publisher."""
    if _RESOURCE.fullmatch(name):
        return quote(name, safe="/@:"), name.rpartition("/")[2]
    if (endpoint := name.removeprefix("endpoints/")).isdecimal():
        return f"{parent}/endpoints/{endpoint}", endpoint
    named = name.removeprefix("publishers/").replace("/models/", "/", 1)
    if "/" not in named:
        named = f"{_ANTHROPIC if named.startswith(_CLAUDE) else _GOOGLE}{named}"
    publisher, _, short = named.partition("/")
    if not named.startswith((_GOOGLE, _ANTHROPIC)) or not short or "/" in short:
        raise ConfigRefused(f"name '{name}' is not a model of google or anthropic on Vertex AI")
    return f"{parent}/publishers/{publisher}/models/{quote(short, safe='@')}", short


def _choose(task: str, model: str) -> type[VertexAdapter]:
    families = next(
        (families for start, families in _FAMILIES.items() if model.startswith(start)), _GEMINI
    )
    if model.startswith("multimodalembedding"):
        raise ConfigRefused(
            f"the model '{model}' embeds by an API of its own, which is not supported: use "
            "gemini-embedding-2 or a text embedding model"
        )
    if model.startswith(_GEMINI_EMBEDDING) and not model.startswith(_PREDICTING):
        families = _GEMINI_EMBEDDINGS
    elif "embedding" in model:
        families = _EMBEDDINGS
    if adapter := families.get(task):
        return adapter
    raise ConfigRefused(f"the task {task} is not one of the model '{model}' on Vertex AI")
