"""What the pages of the user interface take in a real Chromium, with many endpoints stored.

Called by `python -m bench pages`. It needs Chromium, Playwright and the pages, as `tests/ui` does.
"""

import asyncio
import tempfile
from pathlib import Path

from bench.bulk import copy_endpoint
from bench.report import Row, Table, table_of
from bench.system import ADMIN_TOKEN, System, running_system
from tests.ui.visitor import Visitor, launch

_TEMPLATE = "endpoint-under-measurement"
_ENDPOINTS = "/api/2.0/serving-endpoints"
# A phone, or an old notebook.
_SLOWED = 4
# Times are taken in the page, at the first frame in which there is something.
_CLOCK = """
window.until = (seen) => new Promise((resolve) => {
  const look = () => (seen() ? resolve(performance.now()) : requestAnimationFrame(look))
  look()
})
window.usable = window.until(() => document.querySelector('tbody tr'))
"""
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_LOADED = """
performance.getEntriesByType('resource').filter(({ name }) => name.endsWith('.js'))
  .reduce((sum, { transferSize }) => sum + transferSize, 0) / 1000
"""
# The first page of the list, as it is sent.
_LIST = """
performance.getEntriesByType('resource').find(({ name }) => name.includes('serving-endpoints?'))
  .transferSize / 1000
"""
_FRAMES = """
new Promise((resolve) => {
  const frames = []
  let before = performance.now()
  const step = () => {
    const now = performance.now()
    frames.push(now - before)
    before = now
    window.scrollBy(0, 40)
    if (frames.length < 90) requestAnimationFrame(step)
    else resolve(frames.sort((a, b) => a - b)[Math.floor(frames.length * 0.95)])
  }
  requestAnimationFrame(step)
})
"""


async def measure(endpoints: int, program: str) -> Table:
    """Return what a browser takes to show the list of endpoints.

    Args:
        endpoints: How many are stored.
        program: Chromium.
    """
    with tempfile.TemporaryDirectory(prefix="modelplane-bench-") as name:
        directory = Path(name)
        async with running_system(directory) as system:
            await system.call("POST", _ENDPOINTS, {"name": _TEMPLATE})
        await asyncio.to_thread(
            copy_endpoint, directory / "modelplane.db", _TEMPLATE, endpoints - 1
        )
        async with running_system(directory) as system:
            last = f"{_TEMPLATE}-{endpoints - 1}"
            rows = await asyncio.to_thread(_look, system, program, last)
    return table_of(f"Pages, with {endpoints:,} endpoints", rows)


def _look(system: System, program: str, last: str) -> list[Row]:
    with launch(program) as browser, Visitor(browser, system.url) as visitor:
        visitor.sign_in(ADMIN_TOKEN)
        page = visitor.page
        page.add_init_script(_CLOCK)
        devices = page.context.new_cdp_session(page)
        devices.send("Network.enable")
        devices.send("Network.setCacheDisabled", {"cacheDisabled": True})
        rows = _load(visitor, "", (500, 1_000))
        rows += [
            Row("script, as it is sent", page.evaluate(_LOADED), "kB", "140"),
            Row("first page of the list, as it is sent", page.evaluate(_LIST), "kB", "10"),
            Row("rows on the page", page.locator("tbody tr").count(), "", "60"),
            Row("frame while scrolling, p95", page.evaluate(_FRAMES), "ms", "20"),
            Row("one endpoint found by its name, of all", _search(visitor, last), "ms", "200"),
        ]
        devices.send("Emulation.setCPUThrottlingRate", {"rate": _SLOWED})
        return rows + _load(visitor, f", CPU slowed {_SLOWED} times", (1_500, 3_000))


def _load(visitor: Visitor, how: str, goals: tuple[int, int]) -> list[Row]:
    visitor.page.reload()
    usable = visitor.page.evaluate("window.usable")
    return [
        Row(f"first contentful paint{how}", visitor.page.evaluate(_PAINT), "ms", str(goals[0])),
        Row(f"list usable{how}", usable, "ms", str(goals[1])),
    ]


def _search(visitor: Visitor, name: str) -> float:
    """Return the milliseconds from the last key until nothing but what is searched is there."""
    visitor.page.get_by_role("searchbox").first.fill(name)
    taken: float = visitor.page.evaluate(
        """async () => {
          const before = performance.now()
          const told = () => document.querySelector('p.foot')?.textContent === '1 of 1'
          return (await window.until(told)) - before
        }"""
    )
    return taken
