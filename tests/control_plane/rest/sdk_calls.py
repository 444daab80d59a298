"""Every call that the installed Databricks SDK can make, with every field that it can send.

The SDK's own methods are called, with arguments made from their types; what they hand to its HTTP
client is recorded instead of sent.
"""

import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from databricks.sdk.common.types.fieldmask import FieldMask
from databricks.sdk.service import iam, oauth2, serving, settings, workspace

# Modules of the routes that are served here.
_MODULES = (iam, oauth2, serving, settings, workspace)
# Text that is base64, too, and a number.
_TEXT = "1234"
_MASK = FieldMask(["x"])  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class SdkCall:
    """One request of the SDK.

    Attributes:
        made_by: The method that makes it.
        verb: HTTP method.
        path: Path.
        query: Parameters.
        body: Body; None: it has none.
    """

    made_by: str
    verb: str
    path: str
    query: Mapping[str, object]
    body: object


class _Recorded(Exception):
    def __init__(self, call: SdkCall) -> None:
        super().__init__()
        self.call = call


class _Recorder:
    """Takes the place of the SDK's HTTP client."""

    account_id = _TEXT
    _cfg = SimpleNamespace(account_id=_TEXT, workspace_id=None, host="http://127.0.0.1")

    def __init__(self, made_by: str) -> None:
        self._made_by = made_by

    def do(
        self, method: str, path: str, *, query: Any = None, body: Any = None, **_: object
    ) -> None:
        raise _Recorded(SdkCall(self._made_by, method, path, query or {}, body))


def sdk_calls() -> Iterator[SdkCall]:
    """Yield the first request of each method of the SDK's APIs."""
    for module in _MODULES:
        for name, api in inspect.getmembers(module, inspect.isclass):
            if name.endswith("API") and api.__module__ == module.__name__:
                yield from _calls_of(module, api)


def _calls_of(module: types.ModuleType, api: Any) -> Iterator[SdkCall]:
    for name, method in inspect.getmembers(api, inspect.isfunction):
        if name.startswith(("_", "wait_")) or name.endswith("_and_wait"):
            continue
        made_by = f"{api.__name__}.{name}"
        try:
            client = api(_Recorder(made_by))
        except TypeError:
            # An API that is made of others, whose calls these are.
            return
        try:
            answer = method(client, **_arguments(module, method))
            # A list asks when its first item is taken.
            next(answer)
        except _Recorded as recorded:
            yield recorded.call


def _arguments(module: types.ModuleType, method: Any) -> dict[str, object]:
    hints = typing.get_type_hints(method, vars(module))
    names = [name for name in inspect.signature(method).parameters if name != "self"]
    return {name: _sample(hints[name]) for name in names}


def _sample(hint: Any, above: tuple[Any, ...] = ()) -> Any:
    """Return a value of a type, with every field of its own."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _sample(next(one for one in arguments if one is not type(None)), above)
    if origin is list:
        return [_sample(arguments[0], above)]
    if origin is dict:
        return {"some name": _sample(arguments[1], above)}
    if dataclasses.is_dataclass(hint):
        return None if hint in above else _filled(hint, (*above, hint))
    if inspect.isclass(hint) and issubclass(hint, enum.Enum):
        return next(iter(hint))
    scalars: Mapping[Any, object] = {int: 1, float: 1.0, bool: True, FieldMask: _MASK}
    return scalars.get(hint, _TEXT)


def _filled(cls: Any, above: tuple[Any, ...]) -> Any:
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    return cls(**{name: _sample(hints[name], above) for name in names})


def one_by_one(value: Any) -> Iterator[Any]:
    """Yield a JSON value with one leaf at a time: some fields exclude each other."""
    if isinstance(value, dict) and value:
        for name, item in value.items():
            yield from ({name: part} for part in one_by_one(item))
    elif isinstance(value, list) and value:
        yield from ([part] for item in value for part in one_by_one(item))
    else:
        yield value
