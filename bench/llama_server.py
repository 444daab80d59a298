"""llama.cpp's own server with the small model: `python -m bench.llama_server FILE TOKENS REQUESTS`.

As a replica loads it. It prints its port once it answers, and ends with its standard input.
"""

import sys
from urllib.parse import urlsplit

from xllamacpp import CommonParams, Server


def main(file: str, context_tokens: int, requests: int) -> None:
    """Serve a file with so many tokens for each of so many requests at a time."""
    params = CommonParams()
    params.model.path = file
    params.hostnames, params.port, params.ui = ["127.0.0.1"], 0, False
    params.n_parallel, params.n_ctx = requests, context_tokens * requests
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = Server(params)
    sys.stdout.write(f"{urlsplit(server.listening_address).port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
