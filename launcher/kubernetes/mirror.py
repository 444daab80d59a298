"""The objects of one kind that have a label, as the API server tells of them: listed, then watched.

Used by `cluster.py`. The protocol is that of
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from http import HTTPStatus

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.launcher.cluster.cluster import ClusterAway
from modelplane.launcher.kubernetes.api import Api, Document, Refused

_log = logging.getLogger(__name__)

_PAUSE_SECONDS = 1.0
_GONE = HTTPStatus.GONE


class Mirror:
    """Objects of one kind.

    Attributes:
        objects: They, by name.
        is_known: Whether they were listed once.
    """

    def __init__(self, api: Api, path: str, selector: str) -> None:
        """Know nothing yet.

        Args:
            api: The API server.
            path: Of the list.
            selector: Labels that they have, as `a=b`.
        """
        self.objects: dict[str, Document] = {}
        self.is_known = False
        self._api = api
        self._path = path
        self._query = {"labelSelector": selector}
        self._version = ""

    async def run(self, changed: Callable[[], None]) -> None:
        """Keep looking, until cancelled.

        Args:
            changed: Called after each change.
        """
        while True:
            try:
                if not self._version:
                    await self._list()
                    changed()
                await self._watch(changed)
            except (ClusterAway, LookupError, TypeError) as error:
                # What was known still is what is known.
                self._version = ""
                fields = log_fields(path=self._path, reason=repr(error))
                _log.warning("objects cannot be watched", extra=fields)
                await asyncio.sleep(_PAUSE_SECONDS)

    def put(self, document: Document) -> None:
        """Take an object that was just changed here: the watch tells of it later."""
        self.objects[document["metadata"]["name"]] = document

    async def _list(self) -> None:
        found = await self._api.get(self._path, **self._query)
        items = found.get("items") or []
        self.objects = {item["metadata"]["name"]: item for item in items}
        self._version = str(found["metadata"]["resourceVersion"])
        self.is_known = True

    async def _watch(self, changed: Callable[[], None]) -> None:
        asked = {
            **self._query,
            "resourceVersion": self._version,
            "allowWatchBookmarks": "true",
        }
        async with aclosing(self._api.watch(self._path, asked)) as events:  # type: ignore[type-var]
            async for event in events:
                if self._take(str(event.get("type")), event.get("object") or {}):
                    changed()

    def _take(self, kind: str, document: Document) -> bool:
        """Take an event; tell whether it has changed anything."""
        if kind == "ERROR":
            if document.get("code") == _GONE:
                # What came since the version is no longer kept: it is all listed anew.
                raise Refused(_GONE, "Expired", "the version is too old")
            raise ClusterAway(str(document.get("message", "the watch has failed")))
        metadata = document["metadata"]
        self._version = str(metadata["resourceVersion"])
        if kind == "BOOKMARK":
            return False
        if kind == "DELETED":
            self.objects.pop(metadata["name"], None)
        else:
            self.objects[metadata["name"]] = document
        return True
