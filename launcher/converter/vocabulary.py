"""The tokenizer of a model, from `tokenizer.json` to the metadata of GGUF.

How llama.cpp cuts a text into words is built into it, under names; which of them a tokenizer has is
found by its own description (https://huggingface.co/docs/tokenizers), and one that is described
otherwise is refused: it would answer, with other tokens than the model was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf

from .refusal import OTHER_ENGINE, Refusal

_BYTES = "ByteLevel(regex)"
_GROUPS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Steps of a tokenizer, and what llama.cpp calls all of them together.
_CUTS: Mapping[tuple[str, ...], str] = {
    (_BYTES,): "gpt-2",
    ("Digits(individual)", _BYTES): "smollm",
    (f"Split({_GROUPS}\\p{{N}}{{1,3}}{_REST})", "ByteLevel"): "llama-bpe",
    (f"Split({_GROUPS}\\p{{N}}{_REST})", "ByteLevel"): "qwen2",
}
# What each expects of the text before it is cut.
_NORMALIZERS = {"qwen2": {"NFC"}}
_WHOLE = "\u2581"


def write_vocabulary(writer: gguf.GGUFWriter, tokenizer: Path, size: int, *, chat: bool) -> None:
    """Write the tokenizer in a folder.

    Args:
        writer: Of the file.
        tokenizer: The folder.
        size: Tokens that the model knows, of which a tokenizer may have fewer.
        chat: Whether it has to have a template for chats.

    Raises:
        Refusal: It cannot be converted.
    """
    described = _read(tokenizer / "tokenizer.json")
    model = described.get("model", {})
    kind = model.get("type")
    if kind == "WordPiece":
        _write_pieces(writer, described, size)
    elif kind == "BPE" and model.get("merges") and not model.get("byte_fallback"):
        _write_pairs(writer, described, size)
    else:
        what = "BPE of sentencepiece" if model.get("byte_fallback") else kind
        raise Refusal(
            f"A tokenizer of the kind {what} cannot be converted for llama.cpp; {OTHER_ENGINE}."
        )
    special = gguf.SpecialVocab(tokenizer, load_merges=kind == "BPE", n_vocab=size)
    if chat and not special.chat_template:
        raise Refusal(
            "The tokenizer has no chat template, which the task llm/v1/chat needs; set "
            "tokenizer.chat_template and log the model again, or log it as llm/v1/completions."
        )
    # Otherwise llama.cpp would guess.
    special.add_special_token.setdefault("bos", False)
    special.add_special_token.setdefault("eos", False)
    special.add_to_gguf(writer, quiet=True)


def _read(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise Refusal(
            "The model has no tokenizer.json; log it with its fast tokenizer (use_fast=True)."
        )
    described: Mapping[str, Any] = json.loads(path.read_text())
    return described


def _write_pairs(writer: gguf.GGUFWriter, described: Mapping[str, Any], size: int) -> None:
    steps = tuple(map(_step, _parts(described.get("pre_tokenizer"), "pretokenizers")))
    cut = _CUTS.get(steps)
    normalizers = {each["type"] for each in _parts(described.get("normalizer"), "normalizers")}
    if cut is None or normalizers - _NORMALIZERS.get(cut, set()):
        raise Refusal(
            "The tokenizer cuts texts into words in a way that llama.cpp may not know "
            f"({', '.join((*sorted(normalizers), *steps))[:200]}); {OTHER_ENGINE}."
        )
    tokens, types = _list(described, size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(cut)
    writer.add_token_list(tokens)
    writer.add_token_types(types)


def _write_pieces(writer: gguf.GGUFWriter, described: Mapping[str, Any], size: int) -> None:
    normalizer = described.get("normalizer") or {}
    if normalizer.get("type") != "BertNormalizer" or not normalizer.get("lowercase"):
        raise Refusal(
            "llama.cpp makes all letters small for a tokenizer of the kind WordPiece, which this "
            f"one does not; {OTHER_ENGINE}."
        )
    tokens, types = _list(described, size)
    control = gguf.TokenType.CONTROL
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(
        [
            token if kind == control else token[2:] if token.startswith("##") else _WHOLE + token
            for token, kind in zip(tokens, types, strict=True)
        ]
    )
    writer.add_token_types(types)


def _list(described: Mapping[str, Any], size: int) -> tuple[list[str], list[int]]:
    """Return tokens and their kinds, by number; numbers without a token are filled."""
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [int(gguf.TokenType.UNUSED)] * size
    added = {each["content"]: each for each in described.get("added_tokens", [])}
    listed = dict(described["model"]["vocab"])
    listed.update({content: each["id"] for content, each in added.items()})
    for token, number in listed.items():
        if not 0 <= number < size:
            raise Refusal("The tokenizer has more tokens than the model knows; log them together.")
        kind = gguf.TokenType.NORMAL
        if token in added:
            special = added[token].get("special")
            kind = gguf.TokenType.CONTROL if special else gguf.TokenType.USER_DEFINED
        tokens[number], types[number] = token, int(kind)
    return tokens, types


def _parts(described: Mapping[str, Any] | None, key: str) -> list[Mapping[str, Any]]:
    if not described:
        return []
    return list(described[key]) if described["type"] == "Sequence" else [described]


def _step(described: Mapping[str, Any]) -> str:
    kind = str(described["type"])
    if kind == "Digits":
        return "Digits(individual)" if described.get("individual_digits") else "Digits"
    if kind == "Split":
        return f"Split({described.get('pattern', {}).get('Regex')})"
    if kind == "ByteLevel":
        if described.get("add_prefix_space"):
            return "ByteLevel(prefix)"
        return _BYTES if described.get("use_regex", True) else kind
    return kind
