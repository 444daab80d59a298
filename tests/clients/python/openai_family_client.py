"""Calls a deployment with `DatabricksOpenAI` and `ChatOpenAI`; prints what they made of it."""

import json
import sys

from databricks_openai import DatabricksOpenAI
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

url, token = sys.argv[1:]
told = {}
client = DatabricksOpenAI(max_retries=0)
messages = [{"role": "user", "content": "hello there"}]
whole = client.chat.completions.create(model="talk", messages=messages)
told["databricks"] = [whole.choices[0].message.content, whole.usage.total_tokens]
try:
    client.chat.completions.create(model="nowhere", messages=messages)
except Exception as error:
    told["databricks unknown"] = [type(error).__name__, str(error)]

at = {"base_url": f"{url}/serving-endpoints", "api_key": token, "max_retries": 0}
chat = ChatOpenAI(model="talk", **at)
answer = chat.invoke("hello there")
chunks = list(chat.stream("hello there"))
told["langchain"] = [answer.content, answer.usage_metadata["total_tokens"]]
told["langchain stream"] = [
    "".join(chunk.content for chunk in chunks),
    [chunk.usage_metadata["total_tokens"] for chunk in chunks if chunk.usage_metadata],
]
embeddings = OpenAIEmbeddings(model="vectors", check_embedding_ctx_length=False, **at)
told["vectors"] = len(embeddings.embed_documents(["a", "b"]))
print(json.dumps(told))
