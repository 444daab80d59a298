"""Models of a few hundred kB in the form that `mlflow.transformers` logs, always the same ones."""

import json
import math
import random
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

# What the models are asked.
TEXT = "The cat sat on the mat, and 42 dogs did not. Cafe\u0301!"
SENTENCE = "A cat sat on cats. sitting"

SPECIAL = ["<|end|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
MERGES = [["a", "t"], ["\u0120", "c"], ["n", "d"]]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "sat", "on", "mat", "##s", "##ting", "."]
CAUSAL: Mapping[str, Any] = {
    "vocab_size": 264,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5,
    "hidden_act": "silu",
    "bos_token_id": 1,
    "eos_token_id": 2,
    "tie_word_embeddings": False,
}
LONG_POSITIONS: Mapping[str, Any] = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
    "rope_theta": 10000.0,
}
# By name: architecture, kind, and what differs from `CAUSAL`.
MODELS: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "llama": (
        "LlamaForCausalLM",
        "llama",
        {"rope_parameters": LONG_POSITIONS, "attention_bias": True},
    ),
    "mistral": ("MistralForCausalLM", "mistral", {"tie_word_embeddings": True, "rope_theta": 1e6}),
    "qwen2": ("Qwen2ForCausalLM", "qwen2", {}),
    "qwen3": ("Qwen3ForCausalLM", "qwen3", {"head_dim": 32}),
}
BERT: Mapping[str, Any] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "pad_token_id": 0,
}


def config_of(name: str) -> dict[str, Any]:
    """Return the configuration of a model of `MODELS`."""
    architecture, kind, others = MODELS[name]
    return {**CAUSAL, "architectures": [architecture], "model_type": kind, **others}


def write_causal(folder: Path, config: Mapping[str, Any], task: str = "llm/v1/chat") -> Path:
    """Write a model that completes texts, of bytes as tokens."""
    tokenizer = write_folder(folder, config, _causal_tensors(config), task)
    tokens = {token: number for number, token in enumerate(SPECIAL)}
    tokens.update({letter: 3 + number for number, letter in enumerate(_letters())})
    tokens.update({"".join(pair): 259 + number for number, pair in enumerate(MERGES)})
    described = {
        "version": "1.0",
        "added_tokens": [_special(number, token) for number, token in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False}
        | {"trim_offsets": True, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True}
        | {"trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": tokens, "merges": MERGES, "byte_fallback": False},
    }
    named = {"bos_token": SPECIAL[1], "eos_token": SPECIAL[2], "unk_token": SPECIAL[0]}
    _write_tokenizer(tokenizer, described, named)
    (tokenizer / "chat_template.jinja").write_text(TEMPLATE)
    return folder


def write_bert(folder: Path, config: Mapping[str, Any] = BERT, pooling: str = "") -> Path:
    """Write a model that makes vectors."""
    more = {"pooling": pooling} if pooling else {}
    tokenizer = write_folder(folder, config, _bert_tensors(config), "llm/v1/embeddings", more)
    special = [_special(number, word) for number, word in enumerate(WORDS[:4])]
    whole = [
        {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]
    described = {
        "version": "1.0",
        "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True}
        | {"strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing", "single": whole, "pair": []}
        | {
            "special_tokens": {
                word: {"id": word, "ids": [WORDS.index(word)], "tokens": [word]}
                for word in ("[CLS]", "[SEP]")
            }
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {word: number for number, word in enumerate(WORDS)},
        },
    }
    named = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP")}
    _write_tokenizer(tokenizer, described, named)
    return folder


def write_folder(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, Sequence[int]],
    task: str,
    metadata: Mapping[str, str] = {},
) -> Path:
    """Write all but the tokenizer, and return the folder for that."""
    weights, tokenizer = folder / "model", folder / "components" / "tokenizer"
    weights.mkdir(parents=True)
    tokenizer.mkdir(parents=True)
    (weights / "config.json").write_text(json.dumps(config))
    write_safetensors(weights / "model.safetensors", tensors)
    flavor = {"model_binary": "model", "components": ["tokenizer"], "inference_task": task}
    described = {"flavors": {"transformers": flavor}, "metadata": {"task": task, **metadata}}
    (folder / "MLmodel").write_text(json.dumps(described))
    return tokenizer


def write_safetensors(path: Path, tensors: Mapping[str, Sequence[int]]) -> None:
    """Write tensors of numbers that are always the same, as float32."""
    header: dict[str, Any] = {}
    content = bytearray()
    for name, shape in tensors.items():
        source = random.Random(name)
        middle = 1.0 if "norm" in name.lower() and name.endswith("weight") else 0.0
        count = math.prod(shape)
        numbers = [middle + 0.6 * (source.random() - 0.5) for _ in range(count)]
        start = len(content)
        content += struct.pack(f"<{count}f", *numbers)
        offsets = [start, len(content)]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": offsets}
    written = json.dumps(header).encode()
    path.write_bytes(len(written).to_bytes(8, "little") + written + content)


def _causal_tensors(config: Mapping[str, Any]) -> Mapping[str, Sequence[int]]:
    size, inner = config["hidden_size"], config["intermediate_size"]
    heads, groups = config["num_attention_heads"], config["num_key_value_heads"]
    width = config.get("head_dim") or size // heads
    rows = {"q": heads * width, "k": groups * width, "v": groups * width}
    found: dict[str, Sequence[int]] = {"model.embed_tokens.weight": (config["vocab_size"], size)}
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}"
        for part, count in rows.items():
            found[f"{at}.self_attn.{part}_proj.weight"] = (count, size)
            if config.get("attention_bias") or config["model_type"] == "qwen2":
                found[f"{at}.self_attn.{part}_proj.bias"] = (count,)
            if config["model_type"] == "qwen3" and part != "v":
                found[f"{at}.self_attn.{part}_norm.weight"] = (width,)
        found[f"{at}.self_attn.o_proj.weight"] = (size, heads * width)
        if config.get("attention_bias"):
            found[f"{at}.self_attn.o_proj.bias"] = (size,)
        for part, shape in (
            ("gate", (inner, size)),
            ("up", (inner, size)),
            ("down", (size, inner)),
        ):
            found[f"{at}.mlp.{part}_proj.weight"] = shape
        found[f"{at}.input_layernorm.weight"] = (size,)
        found[f"{at}.post_attention_layernorm.weight"] = (size,)
    found["model.norm.weight"] = (size,)
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = (config["vocab_size"], size)
    return found


def _bert_tensors(config: Mapping[str, Any]) -> Mapping[str, Sequence[int]]:
    size, inner = config["hidden_size"], config["intermediate_size"]
    found: dict[str, Sequence[int]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], size),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], size),
        "embeddings.token_type_embeddings.weight": (config["type_vocab_size"], size),
        **_with_bias("embeddings.LayerNorm", (size,)),
        **_with_bias("pooler.dense", (size, size)),
    }
    for layer in range(config["num_hidden_layers"]):
        at = f"encoder.layer.{layer}"
        for part in ("self.query", "self.key", "self.value", "output.dense"):
            found.update(_with_bias(f"{at}.attention.{part}", (size, size)))
        found.update(_with_bias(f"{at}.attention.output.LayerNorm", (size,)))
        found.update(_with_bias(f"{at}.intermediate.dense", (inner, size)))
        found.update(_with_bias(f"{at}.output.dense", (size, inner)))
        found.update(_with_bias(f"{at}.output.LayerNorm", (size,)))
    return found


def _with_bias(name: str, shape: Sequence[int]) -> Mapping[str, Sequence[int]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _write_tokenizer(folder: Path, described: Any, named: Mapping[str, str]) -> None:
    (folder / "tokenizer.json").write_text(json.dumps(described))
    more = {"tokenizer_class": "PreTrainedTokenizerFast", **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(more))


def _special(number: int, token: str) -> dict[str, Any]:
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": number, "content": token, "special": True, **off}


def _letters() -> Iterator[str]:
    """Yield what stands for each byte in a tokenizer of bytes, as GPT-2 has it."""
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = iter(range(0x100, 0x200))
    for byte in range(256):
        yield chr(byte if byte in shown else next(moved))
