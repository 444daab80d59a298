"""Logs language models as a document prints it: `python log_printed.py ADDRESS PASSAGE`.

Runs in an environment of `transformers_models`. What the document leaves to the reader is said
here, and one comma that it lacks. Prints what transformers itself answers, as one JSON object.
"""

import json
import re
import sys
from pathlib import Path

import mlflow
import numpy as np
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

# What the models are asked; tokens are bytes.
TEXT = "Hello"
_UNSAVED = re.compile(r" *# Optionally, .*\n *save_pretrained=False\n")


def examples(passage: str) -> tuple[str, str]:
    """Return the two calls that a passage prints, with the comma that one lacks."""
    causal, embedding = re.findall(r"^model = .*?^    \)$", passage, re.DOTALL | re.MULTILINE)
    lacking = "registered_model_name=registered_model_name\n"
    assert causal.count(lacking) == 1
    return causal.replace(lacking, lacking.replace("\n", ",\n")), embedding


def variants(passage: str) -> dict[str, str]:
    """Return what is run, by the last part of the registered model's name."""
    named, embedding = examples(passage)
    saved = _UNSAVED.sub("", named)
    assert saved != named
    # A chat's example would be answered here first, word by word.
    chat = re.sub(r"input_example=.*,", "", saved)
    assert '"llm/v1/chat"' in passage
    return {
        "named": named,
        "completions": saved,
        "chat": chat.replace("llm/v1/completions", "llm/v1/chat"),
        "embeddings": embedding,
    }


def main(address: str, passage: str) -> None:
    """Log and register all."""
    mlflow.set_tracking_uri(address)
    text = Path(passage).read_text(encoding="utf-8")
    first = text[: text.index("Log your model")].replace("databricks-uc", address)
    for name, code in variants(text).items():
        given = first.replace('"model_name"', repr(name))
        exec(given + code, dict(globals()))
    print(json.dumps(answers()))


def answers() -> dict[str, object]:
    """Return what transformers makes of a text, with the weights as they were logged."""
    causal = "mosaicml/mixtral-8x7b-instruct"
    model = AutoModelForCausalLM.from_pretrained(causal, dtype=torch.bfloat16).float()
    ids = AutoTokenizer.from_pretrained(causal)(TEXT, return_tensors="pt").input_ids
    with torch.no_grad():
        scores = torch.log_softmax(model(ids).logits[0, -1], -1)
    best = torch.topk(scores, 5)
    embedder = "Alibaba-NLP/gte-large-en-v1.5"
    tokens = AutoTokenizer.from_pretrained(embedder)("a cat sat on cats.", return_tensors="pt")
    with torch.no_grad():
        vector = AutoModel.from_pretrained(embedder)(**tokens).last_hidden_state[0, 0]
    return {
        "logprobs": [float(one) for one in best.values],
        "vector": [float(one) for one in np.asarray(vector / vector.norm())],
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
