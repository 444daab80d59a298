"""The pages where they are hard to use: by keyboard, behind a prefix, while nobody answers."""

import asyncio
import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import aiohttp
import pytest
from aiohttp import web

from bench.bulk import copy_endpoint
from tests.e2e.rest import Rest
from tests.e2e.system import System, run_system
from tests.ui.scenes import create
from tests.ui.visitor import Visitor

pytestmark = pytest.mark.long

_PREFIX = "/x/y"
_MANY = 10_000
# What stands on the page, not how many there are.
_MOST_ROWS = 100
_HOP = {"connection", "content-length", "transfer-encoding", "host"}


def test_all_the_way_by_keyboard(browser: object, system: System, rest: Rest) -> None:
    del rest
    with Visitor(browser, system.url) as visitor:
        visitor.open()
        keys = visitor.page.keyboard
        visitor.page.get_by_label("Access token").wait_for()
        keys.type(system.token)
        keys.press("Enter")
        visitor.page.get_by_role("heading", name="Serving endpoints").wait_for()
        visitor.tab_to("Create and ask an endpoint")
        keys.press("Enter")
        visitor.page.get_by_role("heading", name="Create serving endpoint").wait_for()
        keys.type("typed")
        visitor.tab_to("Model")
        keys.type("gpt-4o-mini")
        visitor.tab_to("OpenAI API key")
        keys.type("scope/key")
        keys.press("Enter")
        visitor.page.get_by_role("heading", name="Playground").wait_for()
        visitor.page.get_by_text("Not ready yet").wait_for(state="detached")
        visitor.tab_to("Message")
        keys.press("Enter")
        visitor.page.get_by_text("answered by gpt-4o-mini").wait_for()
        visitor.tab_to("Copy as", back=False)
        keys.press("Enter")
        visitor.page.get_by_role("dialog").wait_for()
        keys.press("Escape")
        visitor.page.get_by_role("dialog").wait_for(state="detached")
        assert not visitor.complaints


def test_single_keys_can_be_turned_off(visitor: Visitor, rest: Rest) -> None:
    for name in ("first", "second"):
        rest.call("POST", "/api/2.0/serving-endpoints", {"name": name})
    page, keys = visitor.page, visitor.page.keyboard
    visitor.press("Refresh")
    page.get_by_role("link", name="second", exact=True).wait_for()
    focused = "document.activeElement.textContent"
    for key, name in (("j", "first"), ("j", "second"), ("k", "first")):
        keys.press(key)
        assert page.evaluate(focused) == name
    keys.press("/")
    # Who writes, writes.
    keys.type("c/j")
    assert page.get_by_role("searchbox", name="Search").input_value() == "c/j"
    visitor.go("/account", "Account")
    page.get_by_label("Single keys").uncheck()
    visitor.go("/endpoints", "Serving endpoints")
    keys.press("c")
    page.get_by_role("link", name="second", exact=True).wait_for()
    assert page.evaluate("location.hash") == "#/endpoints"
    visitor.go("/account", "Account")
    page.get_by_label("Single keys").check()
    visitor.go("/endpoints", "Serving endpoints")
    keys.press("c")
    page.get_by_role("heading", name="Create serving endpoint").wait_for()


@contextmanager
def _proxy(target: str) -> Iterator[str]:
    """Serve `target` below a prefix, as a proxy in front of several programs does."""
    started, done, found = threading.Event(), threading.Event(), [""]

    async def forward(request: web.Request) -> web.Response:
        path = request.path_qs.removeprefix(_PREFIX)
        headers = {
            name: value for name, value in request.headers.items() if name.lower() not in _HOP
        }
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                target + path,
                headers=headers,
                data=await request.read(),
                allow_redirects=False,
            ) as answer,
        ):
            kept = [(k, v) for k, v in answer.headers.items() if k.lower() not in _HOP]
            return web.Response(status=answer.status, body=await answer.read(), headers=kept)

    async def serve() -> None:
        app = web.Application()
        app.router.add_route("*", _PREFIX + "/{path:.*}", forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        found[0] = f"http://127.0.0.1:{runner.addresses[0][1]}{_PREFIX}"
        started.set()
        await asyncio.to_thread(done.wait)
        await runner.cleanup()

    thread = threading.Thread(target=asyncio.run, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield found[0]
    finally:
        done.set()
        thread.join()


def test_the_pages_work_below_a_prefix(browser: object, system: System, rest: Rest) -> None:
    create(rest, "chat", "gpt")
    with _proxy(system.url) as url, Visitor(browser, url) as visitor:
        visitor.sign_in(system.token)
        visitor.go("/playground/chat", "Playground")
        visitor.press("Send")
        visitor.page.get_by_text("answered by gpt").wait_for()
        assert all(request.url.startswith(f"{url}/") for request in visitor.requests)
        assert not visitor.complaints


def test_a_foreign_page_can_neither_show_nor_call_these(
    browser: object, system: System, rest: Rest
) -> None:
    del rest
    with _proxy(system.url) as url, Visitor(browser, system.url) as visitor:
        visitor.sign_in(system.token)
        # Another port is another origin on the same site, and browsers send the cookie there.
        visitor.page.goto(f"{url}/health")
        called = visitor.page.evaluate(
            """url => fetch(url, {credentials: 'include', headers: {'x-ui-session': '1'}})
            .then(({ status }) => status, error => error.name)""",
            f"{system.url}/api/2.0/serving-endpoints",
        )
        assert called == "TypeError"
        visitor.page.evaluate(
            """url => new Promise(done => {
              const frame = document.createElement('iframe')
              frame.onload = done
              frame.src = url
              document.body.append(frame)
            })""",
            f"{system.url}/ui/",
        )
        frame = visitor.page.frames[-1]
        assert frame.locator("#root").count() == 0


def test_what_gets_into_a_page_neither_runs_nor_calls_out(
    browser: object, system: System, rest: Rest
) -> None:
    del rest
    with _proxy(system.url) as url, Visitor(browser, system.url) as visitor:
        visitor.sign_in(system.token)
        tried = visitor.page.evaluate(
            """async url => {
              const attempt = (act) => (async () => act())().catch(error => error.name)
              const script = document.createElement('script')
              const image = new Image()
              return [
                await attempt(() => { document.body.innerHTML = '<b>ran</b>' }),
                await attempt(() => { script.textContent = 'window.ran = 1' }),
                await attempt(() => fetch(url)),
                await new Promise(done => {
                  image.onload = () => done('loaded')
                  image.onerror = () => done('refused')
                  image.src = url
                }),
              ]
            }""",
            f"{url}/health",
        )
        assert tried == ["TypeError", "TypeError", "TypeError", "refused"]
        told = "\n".join(visitor.complaints)
        assert "connect-src 'self'" in told
        assert "img-src 'self' data:" in told


def test_who_waits_for_the_control_plane_is_told_and_goes_on(
    visitor: Visitor, system: System, rest: Rest
) -> None:
    create(rest, "chat", "gpt")
    page = visitor.page
    visitor.go("/endpoints/chat", "chat")
    page.get_by_role("cell", name="gpt", exact=True).wait_for()
    state = json.loads((system.data_dir / "up.json").read_text())
    # What starts it again is held, too.
    os.kill(state["pid"], signal.SIGSTOP)
    try:
        os.kill(state["control_plane"]["pid"], signal.SIGKILL)
        page.get_by_role("alert").first.wait_for()
        assert page.get_by_role("heading", name="chat", exact=True).is_visible()
        assert page.get_by_role("cell", name="gpt", exact=True).is_visible()
        # A page that was not read yet says so, too, and nobody has said that nobody is signed in.
        page.evaluate("location.hash = '/workers'")
        page.get_by_role("alert").filter(has_text="It is tried again").wait_for()
    finally:
        os.kill(state["pid"], signal.SIGCONT)
    # It is loaded once it can be.
    page.get_by_role("heading", name="Workers", level=1).wait_for()
    page.evaluate("location.hash = '/endpoints/chat'")
    page.get_by_role("cell", name="gpt", exact=True).wait_for()
    page.get_by_role("alert").first.wait_for(state="detached")


def test_ten_thousand_endpoints_are_a_page_and_a_search(
    browser: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("many") / "data"
    with run_system(data, "--no-hosting", workers=1) as system, Rest(system) as rest:
        rest.call("POST", "/api/2.0/serving-endpoints", {"name": "many"})
    copy_endpoint(data / "modelplane.db", "many", _MANY - 1)
    with (
        run_system(data, "--no-hosting", workers=1) as system,
        Visitor(browser, system.url) as visitor,
    ):
        visitor.sign_in(system.token)
        page = visitor.page
        page.get_by_role("link", name="many", exact=True).wait_for()
        assert page.locator("tbody tr").count() <= _MOST_ROWS
        before = len(visitor.requests)
        page.get_by_role("searchbox", name="Search").fill(f"MANY-{_MANY - 1}")
        page.get_by_text("1 of 1", exact=True).wait_for()
        assert page.locator("tbody tr").count() == 1
        # One question for the text, not one for each endpoint.
        assert len(visitor.requests) - before <= 4
        assert not visitor.complaints
