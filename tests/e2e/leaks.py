"""Finds marked texts wherever they may have got to, in every form that they may have there."""

import asyncio
import base64
import json
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

import requests

from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local.http_client import HttpClient
from tests.e2e.system import System

# Of base64 at an unknown place in a longer text, the first and last characters depend on it.
_BLUNT = 4
_SHORTEST = 12
# Bytes of what contents are compared by first.
_WORD = 8
# What must hold a secret, for its owner's eyes only: keys of the deployment itself.
_KEY_FILES = {"master-key", "tls/ca.key", "tls/control-plane.key"}
_KEY_FILES |= {"tls/worker.key", "tls/envoy.key"}


def forms(marker: str) -> set[bytes]:
    """Return the ways in which a text may be written."""
    plain = marker.encode()
    texts = {marker, json.dumps(marker)[1:-1], quote(marker, safe=""), quote_plus(marker)}
    found = {text.encode() for text in texts} | {plain.hex().encode(), plain.hex().upper().encode()}
    found |= {marker.encode("utf-16-le"), marker[::-1].encode()}
    for shift in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(b"x" * shift + plain).rstrip(b"=")[_BLUNT:-_BLUNT])
    return found


def parts(credential: str) -> Iterator[str]:
    """Yield what a credential must not be known by: it, and each line of one of several lines."""
    for line in {credential, *credential.replace("\\n", "\n").splitlines()}:
        if len(line) >= _SHORTEST and not line.startswith("-----"):
            yield line


class Search:
    """Looks for markers in whatever it is given."""

    def __init__(self, markers: Iterable[str]) -> None:
        self._needles = {form: marker for marker in markers for form in forms(marker)}
        self._longest = max(map(len, self._needles), default=0)
        self._short = [needle for needle in self._needles if len(needle) < 2 * _WORD - 1]
        self._words: defaultdict[int, list[bytes]] = defaultdict(list)
        for needle in self._needles.keys() - {*self._short}:
            for start in range(_WORD):
                word = int.from_bytes(needle[start : start + _WORD], sys.byteorder)
                self._words[word].append(needle)
        self._looked_at: dict[Path, int] = {}
        self.found: list[tuple[str, str]] = []

    def look(self, place: str, content: bytes) -> None:
        """Note the markers in a content."""
        for needle in (*self._short, *self._likely(content)):
            if needle in content:
                start = max(0, content.index(needle) - 60)
                excerpt = content[start : start + 160].decode(errors="replace")
                self.found.append((place, f"{self._needles[needle]}: …{excerpt}…"))

    def _likely(self, content: bytes) -> set[bytes]:
        """Return the long needles of which a word is where each one that is in there has it.

        Thousands of needles one after the other took most of a minute. Wherever one begins, one of
        its first eight bytes begins a word of the content.
        """
        words = memoryview(content)[: len(content) // _WORD * _WORD].cast("Q")
        return {needle for word in self._words.keys() & words for needle in self._words[word]}

    def look_at_files(self, system: System) -> None:
        """Look into each file of a deployment, and what it prints; once into each part of a log."""
        directory = system.data_dir
        for path in directory.rglob("*"):
            if path.is_file() and str(path.relative_to(directory)) not in _KEY_FILES:
                content = path.read_bytes()
                if path.parent.name == "logs":
                    seen, self._looked_at[path] = self._looked_at.get(path, 0), len(content)
                    content = content[max(0, seen - self._longest) :]
                self.look(str(path.relative_to(directory)), content)
        printed = directory.parent / f"{directory.name}.out"
        self.look("what `up` prints", printed.read_bytes())

    async def look_at_pages(self, system: System) -> None:
        """Look at the pages that processes serve to their operators."""
        state = json.loads((system.data_dir / "up.json").read_text())
        urls = [state["control_plane"]["metrics_url"]]
        urls += [worker["metrics_url"] for worker in state["workers"]]
        for url in urls:
            answer = await asyncio.to_thread(requests.get, url, timeout=120)
            assert answer.ok, url
            self.look(url, answer.content)
        admin = HttpClient(Address.parse(state["envoy"]["admin"]))
        for page in ("/stats", "/config_dump", "/clusters", "/listeners"):
            shown = await admin.call("GET", page)
            assert shown.ok, page
            self.look(f"Envoy's {page}", shown.body)
