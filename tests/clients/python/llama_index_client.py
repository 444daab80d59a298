"""Calls a deployment with LlamaIndex's classes for Databricks; prints what they made of it."""

import json
import sys

from llama_index.core.llms import ChatMessage
from llama_index.embeddings.databricks import DatabricksEmbedding
from llama_index.llms.databricks import Databricks

url, token = sys.argv[1:]
base = f"{url}/serving-endpoints"
model = Databricks(model="talk", api_key=token, api_base=base, max_retries=0)
messages = [ChatMessage(role="user", content="hello there")]
embeddings = DatabricksEmbedding(model="vectors", api_key=token, endpoint=base)
told = {
    "whole": model.chat(messages).message.content,
    "stream": "".join(part.delta for part in model.stream_chat(messages)),
    "vectors": len(embeddings.get_text_embedding_batch(["a", "b"])),
}
try:
    Databricks(model="nowhere", api_key=token, api_base=base, max_retries=0).chat(messages)
except Exception as error:
    told["unknown"] = [type(error).__name__, str(error)]
print(json.dumps(told))
