"""Architectures of transformers, and what llama.cpp wants to know of each.

Names and meaning of the fields: the configurations of transformers
(https://huggingface.co/docs/transformers), and the metadata of GGUF
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gguf
import numpy as np

from .refusal import OTHER_ENGINE, Refusal
from .weights import Order, Tensor

Config = Mapping[str, Any]
_ROPE_KINDS = ("default", "llama3")


@dataclass(frozen=True)
class Family:
    """A way to build a model.

    Attributes:
        arch: What `gguf` calls it.
        embeds: Whether it turns texts into vectors, and writes none.
        pairs: Whether the rotary halves of queries and keys lie apart and have to be interleaved.
        prefix: What the names of tensors begin with in some of its models.
        unused: What the names of tensors begin with that are not needed.
        activation: What its feed-forward layers use; llama.cpp knows no other there.
    """

    arch: gguf.MODEL_ARCH
    embeds: bool = False
    pairs: bool = False
    prefix: str = ""
    unused: tuple[str, ...] = ()
    activation: str = "silu"


_BERT = Family(
    gguf.MODEL_ARCH.BERT,
    embeds=True,
    prefix="bert.",
    unused=("pooler.", "embeddings.position_ids", "cls."),
    activation="gelu",
)
_LLAMA = Family(gguf.MODEL_ARCH.LLAMA, pairs=True)
FAMILIES: Mapping[str, Family] = {
    "LlamaForCausalLM": _LLAMA,
    "MistralForCausalLM": _LLAMA,
    "Qwen2ForCausalLM": Family(gguf.MODEL_ARCH.QWEN2),
    "Qwen3ForCausalLM": Family(gguf.MODEL_ARCH.QWEN3),
    "BertModel": _BERT,
    "BertForMaskedLM": _BERT,
}


def family_of(config: Config) -> Family:
    """Return how a model is built.

    Raises:
        Refusal: Not in a way that is known here.
    """
    named = config.get("architectures") or [""]
    family = FAMILIES.get(named[0])
    if family is None:
        raise Refusal(
            f"The architecture {named[0] or '(none)'} cannot be converted for llama.cpp; those are "
            f"{', '.join(FAMILIES)}. Otherwise {OTHER_ENGINE}."
        )
    if config.get("quantization_config"):
        raise Refusal("The model's weights are quantized; log them as float16 or bfloat16.")
    activation = config.get("hidden_act", family.activation)
    if activation != family.activation:
        raise Refusal(f"llama.cpp knows no {named[0]} with the activation {activation}.")
    if config.get("use_sliding_window"):
        raise Refusal(f"llama.cpp knows no {named[0]} with a sliding window; {OTHER_ENGINE}.")
    return family


def describe(writer: gguf.GGUFWriter, family: Family, config: Config, pooling: str) -> None:
    """Write what llama.cpp has to know of a model.

    Args:
        writer: Of the file.
        family: How the model is built.
        config: Its configuration.
        pooling: `cls` or `mean`, for one that embeds.

    Raises:
        Refusal: It is built in a way that is not known here.
    """
    heads = config["num_attention_heads"]
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_head_count(heads)
    if family.embeds:
        writer.add_layer_norm_eps(config["layer_norm_eps"])
        writer.add_causal_attention(value=False)
        writer.add_token_type_count(config.get("type_vocab_size", 1))
        kind = gguf.PoolingType.MEAN if pooling == "mean" else gguf.PoolingType.CLS
        writer.add_pooling_type(kind)
        if config.get("position_embedding_type", "absolute") != "absolute":
            raise Refusal("llama.cpp knows no BERT with relative positions.")
        return
    width = config.get("head_dim") or config["hidden_size"] // heads
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(_rope(config)["theta"])


def name_tensors(
    family: Family, config: Config, tensors: Mapping[str, Tensor]
) -> Iterator[tuple[str, Tensor, Order]]:
    """Yield the tensors of a model under the names of GGUF, with the order of their rows.

    Raises:
        Refusal: There is one that is not known here.
    """
    names = gguf.get_tensor_name_map(family.arch, config["num_hidden_layers"])
    tied = bool(config.get("tie_word_embeddings", False))
    heads = config["num_attention_heads"]
    groups = config.get("num_key_value_heads") or heads
    for given, tensor in tensors.items():
        name = given.removeprefix(family.prefix)
        if name.startswith(family.unused) or name.endswith("rotary_emb.inv_freq"):
            continue
        if tied and name == "lm_head.weight":
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if found is None:
            raise Refusal(f"llama.cpp has no use for the model's tensor {given}.")
        order: Order = _same
        if family.pairs and ".q_proj." in name:
            order = _interleaved(heads)
        elif family.pairs and ".k_proj." in name:
            order = _interleaved(groups)
        yield found, tensor, order


def rope_factors(family: Family, config: Config) -> np.ndarray[Any, Any] | None:
    """Return by what the frequencies of positions are divided; None: they are not.

    As "llama3" in transformers' `modeling_rope_utils`: long waves by the factor, short ones not at
    all, those in between gradually.
    """
    if family.embeds:
        return None
    rope = _rope(config)
    if rope["rope_type"] != "llama3":
        return None
    width = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    context = rope["original_max_position_embeddings"]
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    waves = 2 * math.pi * rope["theta"] ** (np.arange(0, width, 2) / width)
    smooth = (context / waves - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    long = np.where(waves > context / low, factor, between)
    return np.where(waves < context / high, 1.0, long).astype(np.float32)


def _rope(config: Config) -> dict[str, Any]:
    """Return how positions are told, in one form: transformers has written two."""
    given = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    given["theta"] = given.get("rope_theta") or config.get("rope_theta") or 10_000.0
    given["rope_type"] = given.get("rope_type") or given.get("type") or "default"
    if given["rope_type"] not in _ROPE_KINDS:
        raise Refusal(
            f"Positions that are scaled as {given['rope_type']} cannot be converted for llama.cpp; "
            f"{OTHER_ENGINE}."
        )
    return given


def _same(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return rows


def _interleaved(heads: int) -> Order:
    def order(rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
        return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))

    return order
