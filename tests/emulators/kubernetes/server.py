"""The HTTP API of the server: https://kubernetes.io/docs/reference/using-api/api-concepts/."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.emulators.kubernetes import rules
from tests.emulators.kubernetes.rules import Document, Refusal
from tests.emulators.kubernetes.store import Store

NAMESPACE = "serving"
_KINDS = {
    "deployments": ("apps", "apps/v1", "Deployment"),
    "pods": ("", "v1", "Pod"),
    # Only there where KEDA is.
    "scaledobjects": ("keda.sh", "keda.sh/v1alpha1", "ScaledObject"),
}
_MERGE = "application/merge-patch+json"


@dataclass
class Kubernetes:
    """The API server.

    Attributes:
        store: Its objects.
        tokens: Rules of the Role that each token has.
        published: What it says of the keys of its tokens, by path.
        logs: Returns the log of a pod: of its container that runs, or of the one before.
        requests: Methods and paths that were asked.
        away: Whether it refuses all, as one that is started anew does.
        has_keda: Whether the definitions of KEDA are installed.
    """

    store: Store = field(default_factory=Store)
    tokens: dict[str, Sequence[Document]] = field(default_factory=dict)
    published: dict[str, Document] = field(default_factory=dict)
    logs: Callable[[str, bool], str] = lambda *_: ""
    requests: list[tuple[str, str]] = field(default_factory=list)
    away: bool = False
    has_keda: bool = False
    url: str = ""
    _watches: set[asyncio.Task[Any]] = field(default_factory=set)

    @asynccontextmanager
    async def running(self, tls: ssl.SSLContext) -> AsyncIterator[None]:
        application = web.Application(middlewares=[self._guard])
        for resource, (_, version, _) in _KINDS.items():
            root = "/api" if version == "v1" else "/apis"
            path = f"{root}/{version}/namespaces/{NAMESPACE}/{resource}"
            application.router.add_route("*", path, self._collection(resource))
            application.router.add_route("*", path + "/{name}", self._object(resource))
            application.router.add_route("*", path + "/{name}/scale", self._scale)
            application.router.add_get(path + "/{name}/log", self._log)
        for path in ("/openid/v1/jwks", "/.well-known/openid-configuration"):
            application.router.add_get(path, self._publish)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
            await site.start()
            self.url = f"https://127.0.0.1:{runner.addresses[0][1]}"
            yield
        finally:
            self.break_watches()
            await runner.cleanup()

    def break_watches(self) -> None:
        """Close all watches, as a server that ends does."""
        for watch in self._watches:
            watch.cancel()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        self.requests.append((request.method, request.path))
        try:
            self._authenticate(request)
            return await handler(request)
        except Refusal as refusal:
            return web.json_response(refusal.document, status=refusal.code)
        except web.HTTPException as error:
            return web.json_response(
                Refusal(error.status, "NotFound", "the server could not find it").document,
                status=error.status,
            )

    def _authenticate(self, request: web.Request) -> Sequence[Document]:
        if self.away:
            raise Refusal(503, "ServiceUnavailable", "apiserver is shutting down")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or token not in self.tokens:
            raise Refusal(401, "Unauthorized", "Unauthorized")
        return self.tokens[token]

    def _authorize(self, request: web.Request, resource: str, verb: str) -> None:
        if resource == "scaledobjects" and not self.has_keda:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        group = _KINDS[resource.partition("/")[0]][0]
        if not rules.allows(self._authenticate(request), group, resource, verb):
            raise Refusal(
                403,
                "Forbidden",
                f'{resource} is forbidden: User "system:serviceaccount:{NAMESPACE}:launcher" '
                f'cannot {verb} resource "{resource}" in API group "{group}" in the namespace '
                f'"{NAMESPACE}"',
            )

    async def _publish(self, request: web.Request) -> web.StreamResponse:
        # Given to all service accounts by `system:service-account-issuer-discovery`.
        return web.json_response(self.published[request.path])

    def _collection(self, resource: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            if request.method == "POST":
                self._authorize(request, resource, "create")
                return await self._create(request, resource)
            if request.method != "GET":
                raise Refusal(405, "MethodNotAllowed", "the server does not allow this method")
            if request.query.get("watch") == "true":
                self._authorize(request, resource, "watch")
                return await self._watch(request, resource)
            self._authorize(request, resource, "list")
            _, version, kind = _KINDS[resource]
            wanted = _selected(request.query)
            items = [found for found in self.store.list(resource) if wanted(found)]
            metadata = {"resourceVersion": self.store.version}
            return web.json_response(
                {"apiVersion": version, "kind": f"{kind}List", "metadata": metadata, "items": items}
            )

        return answer

    def _object(self, resource: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.StreamResponse:
            name = request.match_info["name"]
            verbs = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
            verb = verbs.get(request.method)
            if verb is None:
                raise Refusal(405, "MethodNotAllowed", "the server does not allow this method")
            self._authorize(request, resource, verb)
            old = self.store.read(resource, name)
            if verb == "get":
                return web.json_response(old)
            if verb == "delete":
                return await self._delete(request, resource, old)
            body = await _body(request, patch=verb == "patch")
            new = _merged(old, body) if verb == "patch" else body
            self._check(resource, new, old)
            return web.json_response(self.store.update(resource, new))

        return answer

    async def _scale(self, request: web.Request) -> web.StreamResponse:
        """The `scale` subresource, whose versions are those of the object itself."""
        name = request.match_info["name"]
        verb = {"GET": "get", "PUT": "update", "PATCH": "patch"}.get(request.method, "")
        self._authorize(request, "deployments/scale", verb)
        document = self.store.read("deployments", name)
        scale = _scale_of(document)
        if verb != "get":
            body = await _body(request, patch=verb == "patch")
            new = _merged(scale, body) if verb == "patch" else body
            rules.check_schema(new)
            replicas = new["spec"].get("replicas", 0)
            if replicas < 0:
                raise rules.invalid("Scale", name, "spec.replicas", "must be 0 or more")
            document["metadata"]["resourceVersion"] = new["metadata"].get("resourceVersion", "")
            document["spec"]["replicas"] = replicas
            scale = _scale_of(self.store.update("deployments", document))
        return web.json_response(scale)

    async def _log(self, request: web.Request) -> web.StreamResponse:
        self._authorize(request, "pods/log", "get")
        name = request.match_info["name"]
        self.store.read("pods", name)
        text = self.logs(name, request.query.get("previous") == "true")
        lines = int(request.query.get("tailLines", "1000000"))
        return web.Response(text="".join(text.splitlines(keepends=True)[-lines:]))

    async def _create(self, request: web.Request, resource: str) -> web.StreamResponse:
        body = await _body(request)
        self._check(resource, body, None)
        if resource == "deployments":
            body["spec"].setdefault("replicas", 1)
        return web.json_response(self.store.create(resource, body, NAMESPACE), status=201)

    async def _delete(
        self, request: web.Request, resource: str, old: Document
    ) -> web.StreamResponse:
        options = await _body(request)
        rules.check_schema(options, "meta-v1")
        uid = options.get("preconditions", {}).get("uid", old["metadata"]["uid"])
        if uid != old["metadata"]["uid"]:
            raise Refusal(409, "Conflict", "Precondition failed: UID in precondition")
        self.store.delete(resource, old["metadata"]["name"])
        # What belonged to something that is gone is collected.
        for found in self.store.list("scaledobjects"):
            owners = found["metadata"].get("ownerReferences", ())
            if owners and all(owner["uid"] == uid for owner in owners):
                self.store.delete("scaledobjects", found["metadata"]["name"])
        return web.json_response({"kind": "Status", "apiVersion": "v1", "status": "Success"})

    async def _watch(self, request: web.Request, resource: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "application/json"})
        await response.prepare(request)
        task = asyncio.current_task()
        assert task
        self._watches.add(task)
        wanted = _selected(request.query)
        seconds = float(request.query.get("timeoutSeconds", "1800"))
        try:
            with suppress(TimeoutError, ConnectionError):
                async with asyncio.timeout(seconds):
                    version = int(request.query["resourceVersion"])
                    async for event in self.store.watch(resource, version):
                        if wanted(event.document):
                            await _tell(response, event.kind, event.document)
        except Refusal as refusal:
            await _tell(response, "ERROR", refusal.document)
        finally:
            self._watches.discard(task)
        return response

    def _check(self, resource: str, new: Document, old: Document | None) -> None:
        _, version, kind = _KINDS[resource]
        if (new.get("apiVersion"), new.get("kind")) != (version, kind):
            raise Refusal(400, "BadRequest", f"the object is no {kind} of {version}")
        if resource == "scaledobjects":
            rules.check_scaled_object(new)
        else:
            rules.check_schema(new)
        rules.check_metadata(kind, new["metadata"])
        if resource == "deployments":
            rules.check_deployment(new)
            if old is not None and new["spec"]["selector"] != old["spec"]["selector"]:
                name = new["metadata"]["name"]
                raise rules.invalid(kind, name, "spec.selector", "field is immutable")


async def _body(request: web.Request, *, patch: bool = False) -> Document:
    if request.content_type != (_MERGE if patch else "application/json"):
        raise Refusal(415, "UnsupportedMediaType", f"{request.content_type} is not supported")
    body = json.loads(await request.read())
    assert isinstance(body, dict)
    return body


async def _tell(response: web.StreamResponse, kind: str, document: Document) -> None:
    await response.write(json.dumps({"type": kind, "object": document}).encode() + b"\n")


def _selected(query: Mapping[str, str]) -> Callable[[Document], bool]:
    text = query.get("labelSelector", "")
    wanted = dict(part.split("=", 1) for part in text.split(",") if part)
    return lambda found: wanted.items() <= found["metadata"].get("labels", {}).items()


def _merged(old: Any, patch: Any) -> Any:
    """Return what a merge patch makes of a document (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _scale_of(deployment: Document) -> Document:
    metadata = deployment["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = deployment["spec"]["selector"]["matchLabels"]
    return {
        "apiVersion": "autoscaling/v1",
        "kind": "Scale",
        "metadata": {key: metadata[key] for key in kept},
        "spec": {"replicas": deployment["spec"]["replicas"]},
        "status": {
            "replicas": deployment.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in labels.items()),
        },
    }
