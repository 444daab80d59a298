"""Azure OpenAI by tokens of Entra ID: one fetch for all, a new one when one is refused."""

import asyncio

import pytest
from openai import AzureOpenAI

from modelplane.adapters.providers.errors import CredentialRefused
from tests.adapters.providers.conformance import CASES, open_gateway
from tests.emulators.openai import OpenAiEmulator, entra, run_in_thread

(CASE,) = [case for case in CASES if case.variant == "entra"]


async def test_two_hundred_queries_need_one_token() -> None:
    async with open_gateway(CASE) as gateway:
        emulator = gateway.emulator
        assert isinstance(emulator, OpenAiEmulator)
        await asyncio.gather(*(gateway.ask(stream=False) for _ in range(200)))
        assert emulator.entra.given == 1
        sent = emulator.requests[-1]
        assert sent.headers["Authorization"] == "Bearer entra-token-1"
        assert "api-key" not in sent.headers


@pytest.mark.parametrize("stream", [False, True])
async def test_a_revoked_token_is_replaced(*, stream: bool) -> None:
    async with open_gateway(CASE) as gateway:
        emulator = gateway.emulator
        assert isinstance(emulator, OpenAiEmulator)
        await gateway.ask(stream=stream)
        emulator.entra.valid.clear()
        await gateway.ask(stream=stream)
        assert emulator.entra.given == 2


async def test_a_refused_secret_is_the_endpoints_matter() -> None:
    async with open_gateway(CASE) as gateway:
        source = gateway.entity.adapter.signer.source
        object.__setattr__(source, "_secret", "wrong")
        with pytest.raises(CredentialRefused) as caught:
            await gateway.ask(stream=False)
        assert "AADSTS7000215" in str(caught.value.detail)


def test_the_official_client_takes_the_emulators_tokens() -> None:
    with run_in_thread() as emulator:
        form = {
            "grant_type": "client_credentials",
            "client_id": entra.CLIENT_ID,
            "client_secret": entra.CLIENT_SECRET,
            "scope": entra.SCOPE,
        }
        token = emulator.entra.give(entra.TENANT, form)["access_token"]
        client = AzureOpenAI(
            azure_endpoint=emulator.origin, azure_ad_token=token, api_version="2024-10-21"
        )
        answer = client.chat.completions.create(
            model="my-gpt-35-turbo-deployment", messages=[{"role": "user", "content": "hello"}]
        )
        client.close()
    assert "hello" in (answer.choices[0].message.content or "")
