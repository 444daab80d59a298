"""What vLLM refuses: each rule names the file of release 0.32.0, below `vllm/`, that has it."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any, Protocol

# tool_parsers/__init__.py has these among others.
TOOL_PARSERS = ("hermes", "llama3_json", "mistral", "qwen3_xml")
# sampling_params.py: VLLM_MAX_N_SEQUENCES, and config/model.py: max_logprobs.
MOST_ANSWERS = 16384
MOST_ALTERNATIVES = 20
# What a model has here.
VOCABULARY = 264
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


class Engine(Protocol):
    """What would write."""

    window: int
    calls_tools: bool


class Refusal(Exception):
    """entrypoints/serve/exception_handling/error_response.py: an error's form."""

    def __init__(
        self,
        message: str,
        kind: str = "BadRequestError",
        code: int = 400,
        param: str | None = None,
        value: object = None,
    ) -> None:
        if param is not None and kind == "BadRequestError":
            # exceptions.py has them in the words, too.
            shown = "" if value is None else f", value={value}"
            message += f" (parameter={param}{shown})"
        super().__init__(message)
        self.code = code
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


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
    parser.add_argument("--allowed-media-domains", nargs="+")
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


def validate(engine: Engine, asked: dict[str, Any], *, chat: bool) -> None:
    """entrypoints/openai/chat_completion/protocol.py and its like for completions."""
    if asked.get("stream_options") and not asked.get("stream"):
        raise Refusal(
            "Stream options can only be defined when `stream=True`.", param="stream_options"
        )
    if chat and asked.get("top_logprobs") and not asked.get("logprobs"):
        raise Refusal(
            "when using `top_logprobs`, `logprobs` must be set to true.", param="top_logprobs"
        )
    validate_form(asked)
    if chat:
        validate_tools(engine, asked)
        if not asked["messages"]:
            raise Refusal(
                "Cannot apply chat template to an empty conversation. Provide at least one message."
            )
    elif not asked["prompt"]:
        raise Refusal(
            "Either prompt or prompt_embeds must be provided and non-empty.", param="prompt"
        )


def validate_form(asked: dict[str, Any]) -> None:
    """As pydantic tells it, with all that it could have been (serve/exception_handling)."""
    for index, message in enumerate(asked.get("messages", [])):
        content = message.get("content", "")
        if not isinstance(content, (str, list)) and message["role"] != "assistant":
            where = f"messages.{index}.ChatCompletionDeveloperMessageParam.content"
            raise wrong_form(
                (where, "string_type", "Input should be a valid string"),
                (where, "iterable_type", "Input should be iterable"),
                (f"messages.{index}.another.role", "literal_error", "Input should be 'developer'"),
            )
    wanted = asked.get("response_format", {})
    if wanted.get("type") == "json_schema" and "name" not in wanted["json_schema"]:
        raise wrong_form(
            ("response_format.json_schema.name", "missing", "Field required"),
            ("response_format.type", "literal_error", "Input should be 'structural_tag'"),
        )


def wrong_form(*errors: tuple[str, str, str]) -> Refusal:
    """Return the refusal of a body in which something has the wrong form."""
    told = [
        f"  {{'type': {kind!r}, 'loc': 'body.{where}', 'msg': {what!r}, 'input': '5'}}"
        for where, kind, what in errors
    ]
    message = "\n".join([f"{len(errors)} validation errors:", *told])
    return Refusal(message, "Bad Request", param=f"body.{errors[0][0]}")


def validate_tools(engine: Engine, asked: dict[str, Any]) -> None:
    """entrypoints/openai/chat_completion/protocol.py, and serving.py for what it was told."""
    choice = asked.get("tool_choice", "auto" if "tools" in asked else "none")
    if asked.get("tools") == []:
        raise Refusal(
            "`tools` must not be an empty array. Either provide at least one tool or omit the "
            "field entirely.",
            param="tools",
        )
    if choice != "none" and "tools" not in asked:
        raise Refusal("When using `tool_choice`, `tools` must be set.", param="tool_choice")
    if choice == "auto" and not engine.calls_tools:
        raise Refusal(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        )


def validate_sampling(engine: Engine, asked: dict[str, Any], room: int) -> None:
    """sampling_params.py, and renderers/params.py for what has no room.

    Args:
        engine: What would write.
        asked: The body.
        room: Tokens that an answer may have.
    """
    count, most = asked.get("n", 1), asked.get("max_tokens")
    if most is not None and most > engine.window:
        raise Refusal(
            f"max_tokens={most} cannot be greater than max_model_len={engine.window}. Please "
            "request fewer output tokens.",
            param="max_tokens",
            value=most,
        )
    if count > MOST_ANSWERS:
        raise Refusal(
            f"n must be at most {MOST_ANSWERS}, got {count}. To increase this limit, set the "
            "VLLM_MAX_N_SEQUENCES environment variable."
        )
    tokens = room if most is None else min(most, room)
    if tokens < 1:
        raise Refusal(
            f"max_tokens must be at least 1, got {tokens}.", param="max_tokens", value=tokens
        )
    if count > 1 and asked.get("temperature") == 0:
        raise Refusal(f"n must be 1 when using greedy sampling, got {count}.")
    validate_choice(asked)


def validate_choice(asked: dict[str, Any]) -> None:
    """sampling_params.py and v1/engine/input_processor.py: how words are chosen."""
    if (top := asked.get("top_p", 1)) <= 0:
        raise Refusal(f"top_p must be in (0, 1], got {top:.1f}.", param="top_p", value=float(top))
    if "" in ([asked["stop"]] if isinstance(asked.get("stop"), str) else asked.get("stop", [])):
        raise Refusal("stop cannot contain an empty string.")
    wanted = asked.get("top_logprobs") or asked.get("logprobs") or 0
    if wanted > MOST_ALTERNATIVES:
        raise Refusal(
            f"Requested sample logprobs of {wanted}, which is greater than max allowed: "
            f"{MOST_ALTERNATIVES}",
            param="logprobs",
            value=wanted,
        )
    unknown = [int(one) for one in asked.get("logit_bias", {}) if int(one) >= VOCABULARY]
    if unknown:
        raise Refusal(
            f"token_id(s) {unknown} in logit_bias contain out-of-vocab token ids. Vocabulary size: "
            f"{VOCABULARY}",
            param="logit_bias",
            value=unknown,
        )
