"""Calls a deployment with frameworks for agents and typed answers; prints what they made of it."""

import asyncio
import json
import sys

import agents
import dspy
import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

url, token = sys.argv[1:]
base = f"{url}/serving-endpoints"
agents.set_tracing_disabled(True)


class Place(BaseModel):
    """Where somebody is."""

    city: str


async def of_pydantic():
    model = OpenAIChatModel("talk", provider=OpenAIProvider(base_url=base, api_key=token))
    whole = await Agent(model).run("hello there")
    async with Agent(model).run_stream("hello there") as stream:
        text = await stream.get_output()
        usage = stream.usage
    usage = usage() if callable(usage) else usage
    typed = await Agent(model, output_type=Place).run("Bern")
    return [whole.output, text, usage.input_tokens + usage.output_tokens, typed.output.city]


async def of_openai():
    client = AsyncOpenAI(base_url=base, api_key=token)
    model = agents.OpenAIChatCompletionsModel(model="talk", openai_client=client)
    agent = agents.Agent(name="a", model=model)
    whole = await agents.Runner.run(agent, "hello there")
    stream = agents.Runner.run_streamed(agent, "hello there")
    async for _ in stream.stream_events():
        pass
    usage = [run.context_wrapper.usage.total_tokens for run in (whole, stream)]
    return [whole.final_output, stream.final_output, *usage]


def typed():
    client = instructor.from_openai(OpenAI(base_url=base, api_key=token))
    messages = [{"role": "user", "content": "Bern"}]
    made = client.chat.completions.create(model="talk", response_model=Place, messages=messages)
    return made.city


def of_dspy(provider):
    options = {"api_base": base, "api_key": token, "cache": False, "num_retries": 0}
    return dspy.LM(f"{provider}/talk", **options)("hello there")


told = {
    "pydantic-ai": asyncio.run(of_pydantic()),
    "openai-agents": asyncio.run(of_openai()),
    "instructor": typed(),
    "dspy": [of_dspy("openai"), of_dspy("databricks")],
}
print(json.dumps(told))
