"""Calls a deployment with `ChatDatabricks`; prints what it made of it."""

import asyncio
import json

from databricks_langchain import ChatDatabricks, DatabricksEmbeddings
from langchain_core.tools import tool
from pydantic import BaseModel


class Place(BaseModel):
    """Where somebody is."""

    city: str


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"rain in {city}"


chat = ChatDatabricks(endpoint="talk", max_retries=0)


def total(message):
    return message.usage_metadata and message.usage_metadata["total_tokens"]


async def stream():
    return [chunk async for chunk in chat.astream("hello there")]


whole = chat.invoke("hello there")
chunks, later = list(chat.stream("hello there")), asyncio.run(stream())
told = {
    "whole": [whole.content, total(whole)],
    "stream": ["".join(chunk.content for chunk in chunks), [*filter(None, map(total, chunks))]],
    "async": ["".join(chunk.content for chunk in later), [*filter(None, map(total, later))]],
    "tools": chat.bind_tools([get_weather]).invoke("get_weather in Bern").tool_calls,
    "structured": chat.with_structured_output(Place).invoke("Bern").city,
    "vectors": len(DatabricksEmbeddings(endpoint="vectors").embed_documents(["a", "b"])),
}
try:
    ChatDatabricks(endpoint="nowhere", max_retries=0).invoke("hello there")
except Exception as error:
    told["unknown"] = [type(error).__name__, str(error)]
print(json.dumps(told))
