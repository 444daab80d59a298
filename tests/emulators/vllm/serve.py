"""vLLM's server without a model: `vllm serve`, as strict as the real one of release 0.32.0.

Each rule names the file of that release, below `vllm/`, that has it; the bodies are as a real
server on processors has answered, with other words in them. It writes numbers, one token each.
"""

import argparse
import json
import os
import socketserver
import sys
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

# tool_parsers/__init__.py has these among others.
TOOL_PARSERS = ("hermes", "llama3_json", "mistral", "qwen3_xml")
# v1/core/kv_cache_utils.py: whole blocks are found again, and never a prompt's last token.
BLOCK = 16
DIMENSIONS = 4
# How long each token takes, where a benchmark says it.
PAUSE = float(os.environ.get("EMULATED_TOKEN_SECONDS", "0"))
FINGERPRINT = "vllm-0.32.0-00000000"
# entrypoints/openai/chat_completion/protocol.py and completion/protocol.py: fields that are known.
# Others are ignored there (serve/engine/protocol.py), which no caller would notice: refused here.
_SAMPLING = {
    *("model", "stream", "stream_options", "max_tokens", "temperature", "top_p", "top_k", "seed"),
    *("n", "stop", "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "ignore_eos"),
    "response_format",
}
FIELDS = {
    "/v1/chat/completions": _SAMPLING | {"messages", "top_logprobs", "tools", "tool_choice"},
    "/v1/completions": _SAMPLING | {"prompt"},
    "/v1/embeddings": {"model", "input", "encoding_format"},
}


class Refusal(Exception):
    """entrypoints/serve/exception_handling/error_response.py: an error's form."""

    def __init__(self, message: str, kind: str = "BadRequestError", code: int = 400) -> None:
        super().__init__(message)
        self.code = code
        self.body = {"error": {"message": message, "type": kind, "param": None, "code": code}}


def parse(argv: list[str]) -> argparse.Namespace:
    """entrypoints/launchers/cli_args.py and engine/arg_utils.py: what is unknown is refused."""
    parser = argparse.ArgumentParser("vllm serve", allow_abbrev=False)
    parser.add_argument("model_tag")
    parser.add_argument("--tokenizer")
    parser.add_argument("--served-model-name", nargs="+", required=True)
    parser.add_argument("--uds", required=True)
    for name in ("--max-model-len", "--max-num-seqs", "--tensor-parallel-size"):
        parser.add_argument(name, type=int)
    parser.add_argument("--gpu-memory-utilization", type=float)
    parser.add_argument("--runner", choices=("auto", "generate", "pooling", "draft"))
    parser.add_argument("--pooler-config", type=json.loads)
    parser.add_argument("--tool-call-parser")
    for name in ("enforce-eager", "enable-auto-tool-choice", "enable-prompt-tokens-details"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--disable-uvicorn-access-log", action="store_true")
    return parser.parse_args(argv)


def check(given: argparse.Namespace) -> None:
    """Refuse what the real one would not start with."""
    config = Path(given.model_tag) / "config.json"
    if not config.is_file():
        # transformers' own words.
        sys.exit(f"OSError: {given.model_tag} does not appear to have a file named config.json.")
    if not (Path(given.tokenizer or given.model_tag) / "tokenizer_config.json").is_file():
        sys.exit(f"OSError: Can't load tokenizer for '{given.tokenizer}'.")
    window = json.loads(config.read_text())["max_position_embeddings"]
    if (given.max_model_len or 0) > window:
        # config/model.py
        sys.exit(
            f"ValueError: User-specified max_model_len ({given.max_model_len}) is greater than the "
            f"derived max_model_len (max_position_embeddings={window})."
        )
    given.max_model_len = given.max_model_len or window
    if given.enable_auto_tool_choice and given.tool_call_parser not in TOOL_PARSERS:
        # entrypoints/launchers/launcher.py
        sys.exit(f"KeyError: invalid tool call parser: {given.tool_call_parser}")
    gpus = [one for one in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if one]
    if (given.tensor_parallel_size or 1) > max(1, len(gpus)):
        # config/parallel.py
        sys.exit("ValueError: World size is larger than the number of available GPUs in this node.")
    if given.pooler_config and "normalize" in given.pooler_config:
        # config/pooler.py
        sys.exit("ValueError: Parameter `normalize` was removed; use `use_activation` instead.")


class Engine:
    """What writes."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.name = given.served_model_name[0]
        self.window = given.max_model_len
        self.pools = given.runner == "pooling"
        self.normalized = (given.pooler_config or {}).get("use_activation", True)
        self.calls_tools = given.enable_auto_tool_choice
        self.tells_cached = given.enable_prompt_tokens_details
        self.read: set[str] = set()
        self.running = 0
        self.counts = dict.fromkeys(("prompt", "generation", "queries", "hits"), 0)

    def page(self) -> str:
        """v1/metrics/loggers.py, as prometheus_client writes it."""
        labels = f'{{engine="0",model_name="{self.name}"}}'
        told = (
            ("num_requests_running", "gauge", self.running),
            ("num_requests_waiting", "gauge", 0),
            ("kv_cache_usage_perc", "gauge", 0.25 if self.running else 0),
            ("prefix_cache_queries", "counter", self.counts["queries"]),
            ("prefix_cache_hits", "counter", self.counts["hits"]),
            ("prompt_tokens", "counter", self.counts["prompt"]),
            ("generation_tokens", "counter", self.counts["generation"]),
        )
        lines = [
            "# HELP python_gc_objects_collected_total Objects",
            'python_info{version="3.12"} 1.0',
        ]
        for name, kind, value in told:
            # Counters end so on the page, and in their HELP and TYPE.
            full = f"vllm:{name}_total" if kind == "counter" else f"vllm:{name}"
            lines += [
                f"# HELP {full} Words.",
                f"# TYPE {full} {kind}",
                f"{full}{labels} {float(value)}",
            ]
            if kind == "counter":
                lines.append(f"vllm:{name}_created{labels} 1.7959957e+09")
        return "\n".join(lines) + "\n"

    def tokens_of(self, text: str) -> int:
        """renderers/params.py: what is longer than the context is refused, with the counts."""
        count = len(text.split())
        beginning = f"This model's maximum context length is {self.window} tokens. However, your "
        if len(text) > 80 * self.window:
            raise Refusal(
                f"{beginning}prompt contains {len(text)} characters (more than {80 * self.window} "
                f"characters, which is the upper bound for {self.window} input tokens). Please "
                f"reduce the length of the input prompt. (parameter=input_text, value={len(text)})"
            )
        if count > self.window:
            raise Refusal(
                f"{beginning}prompt contains at least {self.window + 1} input tokens, which "
                "exceeds this limit even without any output tokens. Please reduce the length of "
                f"the input prompt. (parameter=input_tokens, value={self.window + 1})"
            )
        return count

    def cached(self, text: str, count: int) -> int:
        """Return how many of a prompt's tokens were read before."""
        seen = text in self.read
        self.read.add(text)
        found = (count - 1) // BLOCK * BLOCK if seen else 0
        self.counts["queries"] += count
        self.counts["hits"] += found
        self.counts["prompt"] += count
        return found


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    engine: Engine

    def do_GET(self) -> None:
        if self.path == "/health":
            # entrypoints/serve/instrumentator/health.py
            self._say(200, b"", "text/plain")
        elif self.path == "/metrics":
            self._say(200, self.engine.page().encode(), "text/plain; version=0.0.4; charset=utf-8")
        elif self.path == "/v1/models" and self._is_let_in():
            card = {"id": self.engine.name, "object": "model", "owned_by": "vllm"}
            self._json({"object": "list", "data": [card | {"max_model_len": self.engine.window}]})
        else:
            self._json({"detail": "Not Found"}, 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if not self._is_let_in():
            return
        # Which routes there are follows from what the model does.
        if self.path not in FIELDS or (self.path == "/v1/embeddings") != self.engine.pools:
            self._json({"detail": "Not Found"}, 404)
            return
        self.engine.running += 1
        try:
            self._answer(json.loads(body))
        except Refusal as refusal:
            self._json(refusal.body, refusal.code)
        finally:
            self.engine.running -= 1

    def _is_let_in(self) -> bool:
        # entrypoints/serve/middleware/authenticate.py
        if self.headers.get("authorization") == f"Bearer {os.environ['VLLM_API_KEY']}":
            return True
        self._json({"error": "Unauthorized"}, 401)
        return False

    def _answer(self, asked: dict[str, Any]) -> None:
        if unknown := asked.keys() - FIELDS[self.path]:
            raise Refusal(f"fields that no caller should send: {sorted(unknown)}")
        if asked.get("model") != self.engine.name:
            message = f"The model `{asked.get('model')}` does not exist."
            raise Refusal(message, "NotFoundError", 404)
        if self.path == "/v1/embeddings":
            self._json(embeddings(self.engine, asked))
            return
        validate(self.engine, asked)
        writing = Writing(self.engine, asked, chat=self.path == "/v1/chat/completions")
        if not asked.get("stream"):
            self._json(writing.whole())
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream; charset=utf-8")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for chunk in writing.chunks():
            self._event(json.dumps(chunk, separators=(",", ":")).encode())
        self._event(b"[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, data: bytes) -> None:
        event = b"data: " + data + b"\n\n"
        self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

    def _json(self, value: object, status: int = 200) -> None:
        self._say(status, json.dumps(value, separators=(",", ":")).encode(), "application/json")

    def _say(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: object) -> None:
        pass


def validate(engine: Engine, asked: dict[str, Any]) -> None:
    """entrypoints/openai/chat_completion/protocol.py, and sampling_params.py."""
    if asked.get("stream_options") and not asked.get("stream"):
        raise Refusal("Stream options can only be defined when `stream=True`.")
    if asked.get("top_logprobs") and not asked.get("logprobs"):
        raise Refusal("when using `top_logprobs`, `logprobs` must be set to true.")
    if asked.get("n", 1) > 1 and asked.get("temperature") == 0:
        raise Refusal(f"n must be 1 when using greedy sampling, got {asked['n']}.")
    if asked.get("max_tokens", 1) > engine.window:
        raise Refusal(
            f"max_tokens={asked['max_tokens']} cannot be greater than max_model_len="
            f"{engine.window}. Please request fewer output tokens."
        )
    if "tools" in asked and not engine.calls_tools:
        # entrypoints/openai/chat_completion/serving.py
        raise Refusal(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        )
    if asked.get("messages") == []:
        raise Refusal("Cannot apply chat template to an empty conversation.")


def embeddings(engine: Engine, asked: dict[str, Any]) -> dict[str, Any]:
    """entrypoints/pooling/embed/serving.py"""
    texts = asked["input"]
    count = sum(engine.tokens_of(text) for text in texts)
    data = []
    for index, text in enumerate(texts):
        vector = [float(len(text)), 1.0, 0.0, 0.0]
        length = sum(one * one for one in vector) ** 0.5 if engine.normalized else 1.0
        value = [one / length for one in vector]
        data.append({"index": index, "object": "embedding", "embedding": value})
    usage = {"prompt_tokens": count, "total_tokens": count, "completion_tokens": 0}
    head = {"id": "embd-0", "object": "list", "created": 1, "model": engine.name}
    return {**head, "data": data, "usage": {**usage, "prompt_tokens_details": None}}


class Writing:
    """One answer."""

    def __init__(self, engine: Engine, asked: dict[str, Any], *, chat: bool) -> None:
        self.asked, self.chat = asked, chat
        said = json.dumps(asked["messages"]) if chat else asked["prompt"]
        self.prompt = engine.tokens_of(said)
        cached = engine.cached(said, self.prompt)
        self.details = {"cached_tokens": cached} if engine.tells_cached else None
        self.tokens = min(asked.get("max_tokens", 16), engine.window - self.prompt)
        engine.counts["generation"] += self.tokens * asked.get("n", 1)
        self.head = {
            "id": "chatcmpl-0" if chat else "cmpl-0",
            "object": "chat.completion" if chat else "text_completion",
            "created": 1,
            "model": engine.name,
        }

    def whole(self) -> dict[str, Any]:
        """Return it at once."""
        time.sleep(self.tokens * PAUSE)
        choices = []
        for index in range(self.asked.get("n", 1)):
            text = "".join(f" {number}" for number in range(self.tokens))
            said: dict[str, Any] = {"text": text}
            if self.chat:
                said = {"message": {"role": "assistant", "content": text, "reasoning": None}}
            ending = {"finish_reason": "length", "stop_reason": None, "token_ids": None}
            choice = {"index": index, **said, "logprobs": self._logprobs(range(self.tokens))}
            choices.append({**choice, **ending})
        usage = self._usage(self.tokens * len(choices))
        answer = {**self.head, "choices": choices, "service_tier": None}
        answer["system_fingerprint"] = FINGERPRINT
        return {**answer, "usage": usage | {"prompt_tokens_details": self.details}, "metrics": None}

    def chunks(self) -> Any:
        """Yield its chunks."""
        options = self.asked.get("stream_options") or {}
        count = self.asked.get("n", 1)
        if self.chat:
            self.head["object"] = "chat.completion.chunk"
            for index in range(count):
                delta = {"delta": {"role": "assistant", "content": ""}, "logprobs": None}
                yield self._chunk({"index": index, **delta, "finish_reason": None}, 0)
        for index in range(count):
            for number in range(self.tokens):
                time.sleep(PAUSE)
                text = f" {number}"
                said: dict[str, Any] = {"delta": {"content": text}} if self.chat else {"text": text}
                finish = "length" if number == self.tokens - 1 else None
                choice = {"index": index, **said, "logprobs": self._logprobs([number])}
                yield self._chunk({**choice, "finish_reason": finish}, number + 1)
        if options.get("include_usage"):
            details = {"prompt_tokens_details": self.details} if self.details else {}
            usage = {**self._usage(self.tokens * count), **details}
            last = {**self.head, "choices": [], "usage": usage}
            yield {**last, "system_fingerprint": FINGERPRINT}

    def _chunk(self, choice: dict[str, Any], said: int) -> dict[str, Any]:
        chunk = {**self.head, "choices": [choice]}
        options = self.asked.get("stream_options") or {}
        if options.get("include_usage") and options.get("continuous_usage_stats"):
            chunk["usage"] = self._usage(said)
        return chunk

    def _usage(self, said: int) -> dict[str, Any]:
        return {
            "prompt_tokens": self.prompt,
            "total_tokens": self.prompt + said,
            "completion_tokens": said,
        }

    def _logprobs(self, numbers: Any) -> dict[str, Any] | None:
        wanted = self.asked.get("logprobs")
        if wanted is None or wanted is False:
            return None
        if not self.chat:
            tokens = [f" {number}" for number in numbers]
            top = [{token: -0.5, "x": -9999.0} for token in tokens]
            known = {"tokens": tokens, "token_logprobs": [-0.5] * len(tokens)}
            return {"text_offset": [2 * n for n in numbers], **known, "top_logprobs": top}
        content = []
        for number in numbers:
            one: dict[str, Any] = {
                "token": f" {number}",
                "logprob": -0.5,
                "bytes": list(f" {number}".encode()),
            }
            top = [one] * self.asked.get("top_logprobs", 0)
            content.append({**one, "top_logprobs": top})
        return {"content": content}


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main() -> None:
    if sys.argv[1:2] != ["serve"]:
        sys.exit("vllm: error: argument subparser: invalid choice")
    given = parse(sys.argv[2:])
    check(given)
    Handler.engine = Engine(given)
    Server(given.uds, Handler).serve_forever()


if __name__ == "__main__":
    main()
