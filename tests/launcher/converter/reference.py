"""What transformers makes of the models of `tiny.py`, for `expected.json`.

Not run by tests, since it needs PyTorch: `python reference.py` in an environment with torch and
transformers 5, from the root of the repository, prints the file.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))


def main() -> None:
    import tiny
    import torch
    from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer

    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name, torch.no_grad():
        for model in tiny.MODELS:
            folder = tiny.write_causal(Path(name, model), tiny.config_of(model))
            ids = AutoTokenizer.from_pretrained(folder / "components/tokenizer")(
                tiny.TEXT
            ).input_ids
            loaded = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
            scores = torch.log_softmax(loaded(torch.tensor([ids])).logits[0, -1], -1)
            best = torch.topk(scores, 10)
            found[model] = {
                "ids": ids,
                "logprobs": {
                    int(token): round(float(score), 4)
                    for score, token in zip(best.values, best.indices, strict=True)
                },
            }
        folder = tiny.write_bert(Path(name, "bert"))
        ids = AutoTokenizer.from_pretrained(folder / "components/tokenizer")(
            tiny.SENTENCE
        ).input_ids
        loaded = AutoModel.from_pretrained(folder / "model", dtype=torch.float32)
        vectors = loaded(torch.tensor([ids])).last_hidden_state[0]
        found["bert"] = {
            "ids": ids,
            "cls": [round(float(each), 4) for each in vectors[0]],
            "mean": [round(float(each), 4) for each in vectors.mean(0)],
        }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
