"""Tensors of safetensors files, brought into the form of a GGUF file piece by piece.

The form of safetensors: https://huggingface.co/docs/safetensors (header length, header, data).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from .refusal import Refusal

INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_MOST_HEADER = 100 << 20
_LENGTH_BYTES = 8
# Rows are converted so many bytes at a time, as 32-bit numbers.
_PIECE_BYTES = 64 << 20
_FORMS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}

# Gives the rows of a tensor in another order; what is not square stays as it is.
Order = Callable[["np.ndarray[Any, Any]"], "np.ndarray[Any, Any]"]


@dataclass(frozen=True)
class Tensor:
    """A tensor in a file.

    Attributes:
        path: The file.
        form: How its numbers are written, as safetensors calls it.
        shape: Its sizes, the outermost first.
        start: Where it begins in the file.
    """

    path: Path
    form: str
    shape: Sequence[int]
    start: int

    def rows(self, first: int, count: int) -> np.ndarray[Any, Any]:
        """Return rows as 32-bit numbers; a vector is one row."""
        width = self.shape[-1]
        size = np.dtype(_FORMS[self.form]).itemsize
        with self.path.open("rb") as file:
            file.seek(self.start + first * width * size)
            raw = file.read(count * width * size)
        if len(raw) != count * width * size:
            raise Refusal(f"The file {self.path.name} is cut off; log the model again.")
        found = np.frombuffer(raw, dtype=_FORMS[self.form])
        if self.form == "BF16":
            found = (found.astype(np.uint32) << 16).view(np.float32)
        return found.astype(np.float32).reshape(count, width)

    @property
    def height(self) -> int:
        """How many rows it has."""
        return math.prod(self.shape[:-1])


def find_tensors(model: Path) -> Mapping[str, Tensor]:
    """Return the tensors of a model by name.

    Raises:
        Refusal: There are none that can be read.
    """
    if (model / INDEX).is_file():
        listed = json.loads((model / INDEX).read_text()).get("weight_map", {})
        names = sorted({str(name) for name in listed.values()})
        if any("/" in name or name in {".", ".."} for name in names):
            raise Refusal(f"{INDEX} names files outside of the model; log the model again.")
    else:
        names = [SINGLE]
    found: dict[str, Tensor] = {}
    for name in names:
        if not (model / name).is_file():
            raise Refusal(_without_weights(model, name))
        found.update(_read_header(model / name))
    return found


def write(
    writer: gguf.GGUFWriter,
    tensors: Sequence[tuple[str, Tensor, Order]],
    tell: Callable[[int, int], None],
    factors: np.ndarray[Any, Any] | None = None,
) -> None:
    """Write tensors after the metadata, one at a time.

    Args:
        writer: Of the file; its metadata is complete.
        tensors: Names in the file, what to write, and in which order of rows.
        tell: Told the numbers that are done, and how many there are.
        factors: By what the frequencies of positions are divided; None: they are not.
    """
    if factors is not None:
        writer.add_tensor_info("rope_freqs.weight", factors.shape, factors.dtype, factors.nbytes)
    forms = [np.dtype(_form(name, tensor)) for name, tensor, _ in tensors]
    for (name, tensor, _), form in zip(tensors, forms, strict=True):
        size = math.prod(tensor.shape) * form.itemsize
        writer.add_tensor_info(name, tuple(tensor.shape), form, size)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    if factors is not None:
        writer.write_tensor_data(factors)
    done, total = 0, sum(math.prod(tensor.shape) for _, tensor, _ in tensors)
    for (name, tensor, order), form in zip(tensors, forms, strict=True):
        data = order(_converted(tensor, form))
        if not np.isfinite(data).all():
            raise Refusal(f"The tensor {name} holds numbers that are too large, or none.")
        writer.write_tensor_data(data)
        done += math.prod(tensor.shape)
        tell(done, total)


def _converted(tensor: Tensor, form: np.dtype[Any]) -> np.ndarray[Any, Any]:
    step = max(1, _PIECE_BYTES // (4 * tensor.shape[-1]))
    pieces = [
        tensor.rows(first, min(step, tensor.height - first)).astype(form)
        for first in range(0, tensor.height, step)
    ]
    return np.concatenate(pieces).reshape(tensor.shape)


def _form(name: str, tensor: Tensor) -> str:
    """Vectors, and what is only added to them, stay exact: they take no room."""
    if tensor.form not in _FORMS:
        raise Refusal(
            f"The tensor {name} is written as {tensor.form}; log the model with weights as "
            "float32, float16 or bfloat16, not quantized."
        )
    if len(tensor.shape) == 1 or name.startswith(("position_embd", "token_types")):
        return "<f4"
    # Eight bits are for later: a small model has answered another thing with them.
    return "<f2"


def _read_header(path: Path) -> Mapping[str, Tensor]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if not 0 < length <= _MOST_HEADER:
            raise Refusal(f"The file {path.name} is not in the form of safetensors.")
        header = json.loads(file.read(length))
    found = {}
    for name, told in header.items():
        if name == "__metadata__":
            continue
        if not told["shape"]:
            continue
        found[name] = Tensor(
            path, told["dtype"], told["shape"], _LENGTH_BYTES + length + told["data_offsets"][0]
        )
    return found


def _without_weights(model: Path, name: str) -> str:
    if list(model.glob("*.bin")):
        return (
            "The model's weights are a pickle of PyTorch's, which is a program and is not loaded; "
            "save the model with safe_serialization=True, and log it again."
        )
    return (
        f"The model's weights are not there (no {name}): it was logged with save_pretrained=False, "
        "as a name of a hub. Log it with save_pretrained=True."
    )
