"""Gemini's answers, derived from the request so that a test can predict them.

Words in the last message steer them: a tool's name has it called, once for each mention;
`BLOCKED`, `UNSAFE` and `MALFORMED` bring the answers of those kinds, and `RUN` has code executed,
where the request has the tool for it.
"""

import base64
import hashlib
import json
import re

from tests.emulators.emulator import Json

CREATED = "2023-11-14T22:13:20.123456Z"
_THOUGHT = "thinking it over"
_IMAGE_TOKENS = 258


def tokens_of(text: str) -> list[str]:
    """Cut a text into tokens: a word with the space before it."""
    return re.findall(r"\s*\S+|\s+$", text)


def last_text(body: Json) -> str:
    """Return the text of the last turn."""
    return "".join(part.get("text", "") for part in body["contents"][-1]["parts"])


def count(body: Json) -> int:
    """Return the number of tokens that a request has."""
    return _prompt_tokens(body)


def responses(body: Json, model: str, *, stream: bool) -> list[Json]:
    """Return the whole answer, alone, or the events that add up to it."""
    shared = {
        "modelVersion": model,
        "createTime": CREATED,
        "responseId": hashlib.sha256(json.dumps(body).encode()).hexdigest()[:22],
    }
    text = last_text(body)
    prompt = _prompt_tokens(body)
    if "BLOCKED" in text:
        feedback = {"blockReason": "PROHIBITED_CONTENT"}
        usage = {"promptTokenCount": prompt, "totalTokenCount": prompt}
        return [shared | {"promptFeedback": feedback, "usageMetadata": usage}]
    count = body.get("generationConfig", {}).get("candidateCount", 1)
    candidates = [_Candidate(body, model, index) for index in range(count)]
    if not stream:
        printed = [one.whole() for one in candidates]
        return [shared | {"candidates": printed, "usageMetadata": _usage(prompt, candidates)}]
    events = []
    steps = [one.steps() for one in candidates]
    for at in range(max(map(len, steps))):
        printed = [step[at] for step in steps if at < len(step)]
        last = at + 1 == max(map(len, steps))
        usage = _usage(prompt, candidates) if last else {"promptTokenCount": prompt}
        events.append(shared | {"candidates": printed, "usageMetadata": usage})
    return events


class _Candidate:
    """One of the answers."""

    def __init__(self, body: Json, model: str, index: int) -> None:
        config = body.get("generationConfig", {})
        self.index = index
        self._logprobs = config.get("logprobs", 0) if config.get("responseLogprobs") else None
        thinking = config.get("thinkingConfig", {})
        # Google's JSON takes names in both spellings; the SDK uses both.
        wanted = thinking.get("includeThoughts") or thinking.get("include_thoughts")
        self.thoughts = tokens_of(_THOUGHT) if wanted else []
        self.executed = _executed(body)
        self.calls = _calls(body, model)
        self.reason = "STOP"
        text = "" if self.calls else _text(body, model, index)
        for word, reason in (("UNSAFE", "SAFETY"), ("MALFORMED", "MALFORMED_FUNCTION_CALL")):
            if word in last_text(body):
                text, self.calls, self.reason = "", [], reason
        found = [at for stop in config.get("stopSequences", []) if (at := text.find(stop)) >= 0]
        self.tokens = tokens_of(text[: min(found)] if found else text)
        limit = config.get("maxOutputTokens", 8192)
        if len(self.tokens) > limit:
            self.tokens, self.reason = self.tokens[:limit], "MAX_TOKENS"

    def whole(self) -> Json:
        """Return the candidate of a whole answer."""
        parts: list[Json] = []
        if self.thoughts:
            parts.append({"text": "".join(self.thoughts), "thought": True})
        parts += self.executed
        # Text comes in several parts now and then.
        half = len(self.tokens) // 2
        parts += [
            {"text": "".join(piece)} for piece in (self.tokens[:half], self.tokens[half:]) if piece
        ]
        parts += self.calls
        return self._print(parts, self.tokens) | {"finishReason": self.reason}

    def steps(self) -> list[Json]:
        """Return the candidates of the events."""
        steps = [self._print([{"text": one, "thought": True}], []) for one in self.thoughts]
        steps += [self._print([one], []) for one in self.executed]
        steps += [self._print([{"text": one}], [one]) for one in self.tokens]
        steps += [self._print([call], []) for call in self.calls]
        steps.append(self._print([{"text": ""}], []) | {"finishReason": self.reason})
        return steps

    def _print(self, parts: list[Json], tokens: list[str]) -> Json:
        printed: Json = {"content": {"role": "model", "parts": parts}} if parts else {}
        # A zero is left out, as Google's JSON does.
        if self.index:
            printed["index"] = self.index
        if self._logprobs is not None and tokens:
            chosen = [_logprob(token) for token in tokens]
            top = [{"candidates": [_logprob(token)] * self._logprobs} for token in tokens]
            printed["logprobsResult"] = {"chosenCandidates": chosen, "topCandidates": top}
        return printed


def _text(body: Json, model: str, index: int) -> str:
    part = body["contents"][-1]["parts"][-1]
    if result := part.get("functionResponse"):
        heard = f"tool {result['name']} said {json.dumps(result['response'], sort_keys=True)}"
    else:
        heard = f"heard: {last_text(body)}"
    if body.get("generationConfig", {}).get("responseMimeType") == "application/json":
        return json.dumps({"heard": last_text(body)})
    return f"{model} {heard}" + (f" ({index})" if index else "")


def _executed(body: Json) -> list[Json]:
    if "RUN" not in last_text(body) or not any("codeExecution" in one for one in _tools(body)):
        return []
    return [
        {"executableCode": {"language": "PYTHON", "code": "print(6 * 7)\n"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}},
    ]


def _tools(body: Json) -> list[Json]:
    return list(body.get("tools", []))


def _calls(body: Json, model: str) -> list[Json]:
    declared = [item for tool in _tools(body) for item in tool.get("functionDeclarations", [])]
    config = body.get("toolConfig", {}).get("functionCallingConfig", {})
    allowed = config.get("allowedFunctionNames") or [item["name"] for item in declared]
    text = last_text(body)
    mode = config.get("mode", "AUTO")
    if mode == "NONE" or "functionResponse" in body["contents"][-1]["parts"][-1]:
        return []
    usable = [item for item in declared if item["name"] in allowed]
    called = [item for item in usable for _ in range(text.count(item["name"]))]
    if mode == "ANY" and not called:
        called = usable[:1]
    parts: list[Json] = [
        {"functionCall": {"name": one["name"], "args": _args(one, text)}} for one in called
    ]
    if parts and not model.startswith("gemini-1"):
        parts[0]["thoughtSignature"] = base64.b64encode(b"signed " + model.encode()).decode()
    return parts


def _args(declared: Json, text: str) -> Json:
    by_type = {"INTEGER": 1, "NUMBER": 1.5, "BOOLEAN": True, "ARRAY": [], "OBJECT": {}}
    properties = declared.get("parameters", {}).get("properties", {})
    return {
        name: schema["enum"][0] if "enum" in schema else by_type.get(schema.get("type", ""), text)
        for name, schema in properties.items()
    }


def _prompt_tokens(body: Json) -> int:
    parts = [part for turn in body["contents"] for part in turn["parts"]]
    parts += body.get("systemInstruction", {}).get("parts", [])
    return sum(len(tokens_of(part["text"])) if "text" in part else _IMAGE_TOKENS for part in parts)


def _usage(prompt: int, candidates: list[_Candidate]) -> Json:
    answered = sum(len(one.tokens) + 5 * len(one.calls) for one in candidates)
    thoughts = sum(len(one.thoughts) for one in candidates)
    usage = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": prompt // 2,
        "candidatesTokenCount": answered,
        "totalTokenCount": prompt + answered + thoughts,
    }
    return usage | {"thoughtsTokenCount": thoughts} if thoughts else usage


def _logprob(token: str) -> Json:
    return {"token": token, "tokenId": len(token), "logProbability": -round(len(token) / 10, 2)}
