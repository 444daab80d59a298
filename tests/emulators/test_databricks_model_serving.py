"""The emulator, proven by the official SDK."""

from collections.abc import Iterator

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.errors import BadRequest, NotFound, Unauthenticated
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole

from tests.emulators.databricks_model_serving import TOKEN, DatabricksEmulator
from tests.emulators.emulator import running_in_thread

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
HELLO = [ChatMessage(role=ChatMessageRole.USER, content="hello there")]


@pytest.fixture
def emulator() -> Iterator[DatabricksEmulator]:
    with running_in_thread(DatabricksEmulator) as running:
        yield running


def client(emulator: DatabricksEmulator, token: str = TOKEN) -> WorkspaceClient:
    config = Config(host=emulator.origin, token=token, auth_type="pat", retry_timeout_seconds=1)
    return WorkspaceClient(config=config)


def test_each_task_answers(emulator: DatabricksEmulator) -> None:
    endpoints = client(emulator).serving_endpoints
    chat = endpoints.query("their-chat", messages=HELLO)
    assert chat.choices
    assert chat.choices[0].message
    assert "hello there" in (chat.choices[0].message.content or "")
    completion = endpoints.query("their-completions", prompt="say it")
    assert completion.choices
    assert completion.choices[0].text
    embeddings = endpoints.query("their-embeddings", input=["a", "b"])
    assert [len(item.embedding or []) for item in embeddings.data or []] == [1536, 1536]


def test_refusals_are_the_services(emulator: DatabricksEmulator) -> None:
    with pytest.raises(NotFound):
        client(emulator).serving_endpoints.query("nobody", messages=HELLO)
    with pytest.raises(Unauthenticated):
        client(emulator, "wrong").serving_endpoints.query("their-chat", messages=HELLO)
    with pytest.raises(BadRequest):
        client(emulator).serving_endpoints.query("their-chat", messages=[])
