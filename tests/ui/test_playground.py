"""The playground asks as a client does, and whoever answers hears what it sends."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.rest import Rest
from tests.e2e.system import System, wait_for
from tests.emulators.openai import Fault, OpenAiEmulator
from tests.ui.scenes import create, entity
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def test_a_chat_streams_and_says_who_answered(visitor: Visitor, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    visitor.go("/playground/chat", "Playground")
    visitor.page.get_by_label("Message").fill("Hello")
    visitor.press("Send")
    visitor.page.get_by_text("answered by gpt").wait_for()
    assert "Hello" in visitor.page.locator(".message.assistant .said").inner_text()


def test_an_answer_that_is_stopped_is_stopped_at_the_provider(
    visitor: Visitor, rest: Rest, provider: OpenAiEmulator
) -> None:
    create(rest, "chat", "gpt")
    before = provider.cancelled
    provider.faults.put("gpt-4o-mini", Fault("stall_stream", after_events=2))
    page = visitor.page
    visitor.go("/playground/chat", "Playground")
    page.get_by_label("Message").fill("Hello there, tell me much")
    visitor.press("Send")
    page.locator(".message.assistant .said", has_text="gpt").wait_for()
    assert provider.cancelled == before
    visitor.press("Stop")
    wait_for(lambda: provider.cancelled == before + 1)
    # What has come stays, and the next question can be asked.
    page.get_by_role("button", name="Send", exact=True, disabled=False).wait_for()
    assert page.locator(".message.assistant").count() == 1


def test_a_tool_is_called_and_its_result_goes_back(
    visitor: Visitor, rest: Rest, provider: OpenAiEmulator
) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    visitor.go("/playground/chat", "Playground")
    tools = page.get_by_label("Tools")
    tools.fill("[{")
    assert page.get_by_role("button", name="Send", exact=True).is_disabled()
    tools.fill(json.dumps([_TOOL]))
    page.get_by_label("Message").fill("Use weather for Paris")
    visitor.press("Send")
    result = page.get_by_label("Result of weather")
    result.wait_for()
    assert page.locator(".call strong").inner_text() == "weather"
    json.loads(page.locator(".call code").inner_text())
    result.fill('{"celsius": 21}')
    visitor.press("Continue")
    page.get_by_text('tool said: {"celsius": 21}').wait_for()
    sent = provider.requests[-1].body["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool"]
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]


def test_two_entities_answer_beside_each_other(visitor: Visitor, rest: Rest) -> None:
    config = {
        "served_entities": [entity("small"), entity("large", "gpt-4o")],
        "traffic_config": {
            "routes": [
                {"served_model_name": "small", "traffic_percentage": 100},
                {"served_model_name": "large", "traffic_percentage": 0},
            ]
        },
    }
    rest.call("POST", "/api/2.0/serving-endpoints", {"name": "chat", "config": config})
    page = visitor.page
    visitor.go("/playground/chat", "Playground")
    page.get_by_role("link", name="Compare").click()
    page.get_by_label("Message").fill("Hello")
    page.get_by_label("Times").fill("3")
    visitor.press("Send to all")
    columns = [page.get_by_role("region", name=f"Column {number}") for number in (1, 2)]
    for column, name in zip(columns, ("small", "large"), strict=True):
        column.get_by_text(f"answered by {name}").wait_for()
        column.get_by_text("3 answers").wait_for()
        column.get_by_text("total p50").wait_for()
    # The emulated models say their names, which differ.
    page.locator(".compared mark").wait_for()
    assert [mark.strip() for mark in page.locator(".compared mark").all_inner_texts()] == ["gpt-4o"]
    visitor.press("Add a column")
    visitor.press("Add a column")
    assert page.get_by_role("button", name="Add a column").is_disabled()
    page.get_by_label("Times").fill("1")
    visitor.press("Send to all")
    for number in range(1, 5):
        column = page.get_by_role("region", name=f"Column {number}")
        column.get_by_text("answered by").wait_for()
    visitor.press("Remove column 4")
    visitor.press("Remove column 3")
    page.get_by_label("Column 2 is answered by").select_option("chat")
    assert page.evaluate("location.hash") == "#/playground/compare/chat~small,chat"


def test_three_clicks_lead_to_a_first_answer(visitor: Visitor) -> None:
    """Of an empty deployment whose keys are stored: each `click` here is one."""
    page = visitor.page
    page.get_by_role("button", name="Refresh").wait_for()
    page.get_by_role("link", name="Create and ask an endpoint").click()
    page.get_by_label("Name", exact=True).fill("first")
    page.get_by_label("Model", exact=True).fill("gpt-4o-mini")
    page.get_by_placeholder("scope/key").fill("scope/key")
    page.get_by_role("button", name="Create", exact=True).click()
    page.get_by_role("heading", name="Playground").wait_for()
    page.get_by_role("button", name="Send", exact=True).click()
    page.get_by_text("answered by gpt-4o-mini").wait_for()
    assert "What is a gateway?" in page.locator(".message.assistant .said").inner_text()


# One pixel.
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAA"
    "AABJRU5ErkJggg=="
)
_PASTE = """(textarea, text) => {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
  const data = new DataTransfer()
  data.items.add(new File([bytes], 'pasted.png', { type: 'image/png' }))
  const pasted = { clipboardData: data, bubbles: true, cancelable: true }
  textarea.dispatchEvent(new ClipboardEvent('paste', pasted))
}"""


_DOT = {"name": "dot.png", "mimeType": "image/png", "buffer": base64.b64decode(_PNG)}


def test_images_are_attached_and_pasted_unless_they_are_too_much(
    visitor: Visitor, rest: Rest
) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    visitor.go("/playground/chat", "Playground")
    choice = page.locator("input[type=file]")
    choice.set_input_files({"name": "odd.txt", "mimeType": "text/plain", "buffer": b"x"})
    page.get_by_role("alert").filter(has_text="odd.txt is no PNG").wait_for()
    choice.set_input_files({**_DOT, "name": "large.png", "buffer": bytes(5_000_001)})
    page.get_by_role("alert").filter(has_text="an image may have 5.0 MB").wait_for()
    choice.set_input_files(_DOT)
    page.get_by_label("Message", exact=True).evaluate(_PASTE, _PNG)
    waiting = page.get_by_role("list", name="Images of the message")
    waiting.get_by_role("img", name="pasted.png").wait_for()
    waiting.get_by_role("img", name="dot.png").wait_for()
    assert page.get_by_role("alert").count() == 0
    waiting.get_by_role("button", name="Remove pasted.png").click()
    assert waiting.get_by_role("img").count() == 1


def test_images_go_with_a_message(
    visitor: Visitor, rest: Rest, system: System, provider: OpenAiEmulator
) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    visitor.go("/playground/chat", "Playground")
    page.locator("input[type=file]").set_input_files(_DOT)
    waiting = page.get_by_role("list", name="Images of the message")
    waiting.get_by_role("img").wait_for()
    message = page.get_by_label("Message", exact=True)
    message.fill("What is this?")
    visitor.press("Copy as")
    snippet = page.get_by_label("curl snippet").inner_text()
    page.get_by_role("dialog").get_by_role("button", name="Close").click()
    visitor.press("Send")
    page.get_by_text("answered by gpt").wait_for()
    [sent] = provider.requests[-1].body["messages"]
    url = f"data:image/png;base64,{_PNG}"
    assert sent["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    shown = page.get_by_role("list", name="Images", exact=True).get_by_role("img")
    assert shown.evaluate("image => image.complete && image.naturalWidth") == 1
    assert waiting.count() == 0
    # What follows goes with what was said, the image included.
    message.fill("And now?")
    visitor.press("Send")
    page.get_by_text("answered by gpt").nth(1).wait_for()
    assert provider.requests[-1].body["messages"][0] == sent
    asked = len(provider.requests)
    variables = {"PATH": os.defpath, "TOKEN": system.token}
    subprocess.run(["sh", "-c", snippet], env=variables, check=True, capture_output=True)
    assert provider.requests[asked].body["messages"] == [sent]


def test_a_snippet_reads_a_large_image_from_a_file(
    visitor: Visitor, rest: Rest, system: System, provider: OpenAiEmulator, tmp_path: Path
) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    visitor.go("/playground/chat", "Playground")
    content = base64.b64decode(_PNG) + bytes(200_000)
    file = {"name": "any.png", "mimeType": "image/png", "buffer": content}
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_role("list", name="Images of the message").get_by_role("img").wait_for()
    page.get_by_label("Message", exact=True).fill("Is it $5, `6` or C:\\new?")
    visitor.press("Copy as")
    (tmp_path / "image-1.png").write_bytes(content)
    variables = {"PATH": os.defpath, "TOKEN": system.token}
    for client, program in (("curl", ["sh", "-c"]), ("OpenAI", [sys.executable, "-c"])):
        page.get_by_role("button", name=client, exact=True).click()
        snippet = page.get_by_label(f"{client} snippet").inner_text()
        asked = len(provider.requests)
        told = subprocess.run(
            [*program, snippet], env=variables, check=True, capture_output=True, cwd=tmp_path
        )
        assert told.stdout
        [sent] = provider.requests[asked].body["messages"]
        text, image = sent["content"]
        assert text["text"] == "Is it $5, `6` or C:\\new?"
        url = image["image_url"]["url"]
        assert base64.b64decode(url.removeprefix("data:image/png;base64,")) == content
