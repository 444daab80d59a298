"""Calls a deployment with LiteLLM's provider `databricks`; prints what it made of it."""

import json
import sys

import litellm

litellm.suppress_debug_info = True
url, token = sys.argv[1:]
at = {"api_base": f"{url}/serving-endpoints", "api_key": token, "num_retries": 0}
messages = [{"role": "user", "content": "hello there"}]


def stream(**options):
    text, usage = "", []
    for chunk in litellm.completion(
        model="databricks/talk", messages=messages, stream=True, **options, **at
    ):
        text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        if getattr(chunk, "usage", None):
            usage.append(chunk.usage.total_tokens)
    return [text, usage]


whole = litellm.completion(model="databricks/talk", messages=messages, **at)
told = {
    "whole": [whole.choices[0].message.content, whole.usage.total_tokens],
    "stream": stream()[0],
    "stream with usage": stream(stream_options={"include_usage": True}),
    "vectors": len(litellm.embedding(model="databricks/vectors", input=["a", "b"], **at).data),
}
try:
    litellm.completion(model="databricks/nowhere", messages=messages, **at)
except Exception as error:
    told["unknown"] = [type(error).__name__, str(error)]
print(json.dumps(told))
