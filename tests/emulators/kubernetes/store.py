"""Objects, their versions, and who watches them."""

import asyncio
import copy
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from tests.emulators.kubernetes.rules import Refusal

Document = dict[str, Any]
CREATED = "2026-11-29T00:00:00Z"


@dataclass(frozen=True)
class Event:
    version: int
    kind: str
    resource: str
    document: Document


class Store:
    """What etcd holds: one version for all objects, and the changes of late."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], Document] = {}
        self._events: list[Event] = []
        self._version = 1000
        # Changes before it are forgotten.
        self._oldest = 1000
        self._changed = asyncio.Condition()
        self._waking: set[asyncio.Task[None]] = set()

    @property
    def version(self) -> str:
        return str(self._version)

    def forget(self) -> None:
        """Forget all changes so far, as etcd does when it is compacted."""
        self._events.clear()
        self._oldest = self._version

    def list(self, resource: str) -> list[Document]:
        return [found for (of, _), found in self._objects.items() if of == resource]

    def find(self, resource: str, name: str) -> Document | None:
        return self._objects.get((resource, name))

    def read(self, resource: str, name: str) -> Document:
        found = self.find(resource, name)
        if found is None:
            raise Refusal(404, "NotFound", f'{resource} "{name}" not found')
        return copy.deepcopy(found)

    def create(self, resource: str, document: Document, namespace: str) -> Document:
        name = document["metadata"]["name"]
        if (resource, name) in self._objects:
            raise Refusal(409, "AlreadyExists", f'{resource} "{name}" already exists')
        metadata = {
            **document["metadata"],
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "creationTimestamp": CREATED,
            "generation": 1,
        }
        return self._write("ADDED", resource, {**document, "metadata": metadata})

    def update(self, resource: str, document: Document) -> Document:
        """Write an object if it is of the version that is there, or of none."""
        old = self.read(resource, document["metadata"]["name"])
        version = document["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise Refusal(
                409,
                "Conflict",
                f'Operation cannot be fulfilled on {resource} "{old["metadata"]["name"]}": the '
                "object has been modified; please apply your changes to the latest version and "
                "try again",
            )
        kept = {key: old["metadata"][key] for key in ("uid", "namespace", "creationTimestamp")}
        metadata = {**document["metadata"], **kept, "generation": old["metadata"]["generation"]}
        if document.get("spec") != old.get("spec"):
            metadata["generation"] += 1
        new = {**document, "metadata": metadata}
        if "status" in old:
            new.setdefault("status", old["status"])
        same = {**new["metadata"], "resourceVersion": ""} == {
            **old["metadata"],
            "resourceVersion": "",
        }
        if same and {**new, "metadata": 0} == {**old, "metadata": 0}:
            return old
        return self._write("MODIFIED", resource, new)

    def change(self, resource: str, name: str, change: Callable[[Document], None]) -> None:
        """Change an object as a controller does, if it is there."""
        if self.find(resource, name) is not None:
            document = self.read(resource, name)
            change(document)
            self.update(resource, document)

    def delete(self, resource: str, name: str) -> None:
        document = self.read(resource, name)
        del self._objects[resource, name]
        self._note("DELETED", resource, document)

    async def watch(self, resource: str, version: int) -> AsyncIterator[Event]:
        """Yield the changes after a version, for ever."""
        while True:
            if version < self._oldest:
                raise Refusal(410, "Expired", f"too old resource version: {version}")
            for event in [one for one in self._events if one.version > version]:
                version = event.version
                if event.resource == resource:
                    yield event
            async with self._changed:
                if not any(one.version > version for one in self._events):
                    await self._changed.wait()

    async def until_changed(self) -> None:
        async with self._changed:
            await self._changed.wait()

    def _write(self, kind: str, resource: str, document: Document) -> Document:
        written = copy.deepcopy(document)
        self._objects[resource, written["metadata"]["name"]] = written
        self._note(kind, resource, written)
        return copy.deepcopy(written)

    def _note(self, kind: str, resource: str, document: Document) -> None:
        self._version += 1
        document["metadata"]["resourceVersion"] = str(self._version)
        self._events.append(Event(self._version, kind, resource, copy.deepcopy(document)))
        task = asyncio.get_running_loop().create_task(self._wake())
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()
