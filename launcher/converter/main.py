"""Converts one model: `--model FOLDER --tokenizer FOLDER --into FILE`, and options.

Each line that it prints is a JSON object: `{"done": 1, "total": 9}` for progress, `{"said": "…"}`
for the log, `{"refused": "…"}` before it ends with status 3.
"""

from __future__ import annotations

import argparse
import errno
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf

from .families import describe, family_of, name_tensors, rope_factors
from .refusal import Refusal
from .vocabulary import write_vocabulary
from .weights import find_tensors, write

REFUSED = 3
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(argv: Sequence[str]) -> int:
    """Convert a model; return the exit status."""
    options = _parse(argv)
    logging.disable(logging.WARNING)
    try:
        convert(options)
    except Refusal as error:
        return _refuse(str(error))
    except (KeyError, TypeError, ValueError, UnicodeDecodeError) as error:
        return _refuse(f"The model's files are not as transformers writes them ({error!r}).")
    except MemoryError:
        return _refuse("The model's largest tensor has no room in the launcher's memory.")
    except OSError as error:
        if error.errno not in _FULL:
            raise
        return _refuse("The launcher's disk has no room for the converted model.")
    return 0


def convert(options: argparse.Namespace) -> None:
    """Write the file.

    Raises:
        Refusal: The model cannot be converted.
        OSError: A file cannot be read or written.
    """
    config = _config(options.model)
    family = family_of(config)
    if family.embeds != (options.task == "embeddings"):
        raise Refusal(
            f"A {config['architectures'][0]} cannot serve the task llm/v1/{options.task}; log the "
            "model with the task that it was made for."
        )
    tensors = list(name_tensors(family, config, find_tensors(options.model)))
    writer = gguf.GGUFWriter(options.into, gguf.MODEL_ARCH_NAMES[family.arch])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    describe(writer, family, config, options.pooling)
    chat = options.task == "chat"
    write_vocabulary(writer, options.tokenizer, config["vocab_size"], chat=chat)
    write(writer, tensors, _tell, rope_factors(family, config))
    writer.close()
    _print({"said": f"Wrote {len(tensors)} tensors."})


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    for name in ("--model", "--tokenizer", "--into"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--task", choices=("chat", "completions", "embeddings"), required=True)
    parser.add_argument("--pooling", choices=("cls", "mean"), default="cls")
    return parser.parse_args(argv)


def _config(model: Path) -> dict[str, Any]:
    if not (model / "config.json").is_file():
        raise Refusal(
            "The model has no config.json: it was logged with save_pretrained=False, or as an "
            "adapter (PEFT) without its base. Merge the adapter (merge_and_unload), and log the "
            "whole model."
        )
    found: dict[str, Any] = json.loads((model / "config.json").read_text())
    return found


def _tell(done: int, total: int) -> None:
    _print({"done": done, "total": total})


def _refuse(reason: str) -> int:
    _print({"refused": reason})
    return REFUSED


def _print(document: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()
