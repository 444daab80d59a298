"""Load a GGUF file in llama.cpp's server, ask it, print what it answers: `ask.py FILE QUESTIONS`.

In a process of its own, which llama.cpp may end.
"""

import json
import sys
import urllib.request

from xllamacpp import CommonParams, Server


def main(file: str, questions: str) -> None:
    """Print the answers to `[[path, body], …]`, as one JSON list in the last line."""
    params = CommonParams()
    params.model.path = file
    params.n_ctx = 512
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.embedding = "embeddings" in questions
    server = Server(params)
    answers = []
    for path, body in json.loads(questions):
        request = urllib.request.Request(
            server.listening_address + path,
            json.dumps(body).encode(),
            {"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=100) as answer:
            answers.append(json.load(answer))
    sys.stdout.write("\n" + json.dumps(answers) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
