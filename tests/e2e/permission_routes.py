"""Every public RPC and its REST routes, read from the protos, and calls of either kind.

`test_permission_matrix` calls each of them as everyone in `permission_table`.
"""

import json
import pkgutil
import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
import grpc
import modelserving.v1
from google.api import annotations_pb2
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from yarl import URL

from tests.e2e.rest import Json
from tests.e2e.system import System

_SECONDS = 120
_AT_ONCE = 16
# These differ from answer to answer.
_VARYING = {"x-request-id", "date", "content-length"}


@dataclass(frozen=True, slots=True)
class Route:
    """One way to call an RPC: a REST route or, with no verb, its gRPC method."""

    method: MethodDescriptor
    verb: str = ""
    path: str = ""
    body: str = ""
    stream: bool = False

    def __str__(self) -> str:
        kind = f"{self.verb} {self.path}" if self.verb else "gRPC"
        return f"{kind}, streamed" if self.stream else kind


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, from either kind of call."""

    # HTTP status, or the name of the gRPC status.
    status: int | str
    text: str
    headers: Mapping[str, str]


def public_methods() -> Iterator[MethodDescriptor]:
    """Yield every RPC of every public service there is, registered somewhere or not."""
    for found in pkgutil.iter_modules(modelserving.v1.__path__):
        if found.name.endswith("_service_pb2"):
            module = import_module(f"modelserving.v1.{found.name}")
            for service in module.DESCRIPTOR.services_by_name.values():
                yield from service.methods


def name_of(method: MethodDescriptor) -> str:
    """Return the name of an RPC as the table has it."""
    return f"{method.containing_service.name}.{method.name}"


def routes_of(method: MethodDescriptor, *, streams: bool) -> list[Route]:
    """Return all ways to call an RPC; those that can stream come in both forms."""
    routes = [Route(method)]
    if method.GetOptions().HasExtension(annotations_pb2.http):
        rule = method.GetOptions().Extensions[annotations_pb2.http]
        for binding in (rule, *rule.additional_bindings):
            verb = binding.WhichOneof("pattern")
            routes.append(Route(method, verb.upper(), getattr(binding, verb), binding.body))
    if streams:
        routes += [Route(one.method, one.verb, one.path, one.body, stream=True) for one in routes]
    return routes


class Caller:
    """Calls routes; all calls share one pool of connections for each protocol."""

    def __init__(
        self, system: System, http: aiohttp.ClientSession, channel: grpc.aio.Channel
    ) -> None:
        self._url = system.url
        self._http = http
        self._channel = channel

    async def call(self, route: Route, request: Json, token: str | None) -> Answer:
        """Send a request, with the fields of the request message, and return what came back."""
        fields = dict(request)
        if route.stream:
            fields["payload"] = {**fields["payload"], "stream": True}
        headers = {"authorization": f"Bearer {token}"} if token else {}
        send = self._rest if route.verb else self._grpc
        return await send(route, fields, headers)

    async def _rest(self, route: Route, fields: Json, headers: dict[str, str]) -> Answer:
        def take(match: re.Match[str]) -> str:
            return quote(str(fields.pop(match[1])), safe="")

        path = re.sub(r"{(\w+)(?:=[*]+)?}", take, route.path)
        body: object = fields if route.body == "*" else fields.pop(route.body, None)
        query = "" if route.body in ("*", "payload") else urlencode(fields)
        data, content_type = _encode(body)
        async with self._http.request(
            route.verb,
            URL(f"{self._url}{path}" + (f"?{query}" if query else ""), encoded=True),
            data=data,
            headers={"content-type": content_type, **headers},
        ) as answer:
            # An archive is no text.
            text = await answer.text(errors="replace")
            kept = {k.lower(): v for k, v in answer.headers.items() if k.lower() not in _VARYING}
            return Answer(answer.status, text, kept)

    async def _grpc(self, route: Route, fields: Json, headers: dict[str, str]) -> Answer:
        method = route.method
        service = method.containing_service.full_name
        kind = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
        rpc: Any = kind(
            f"/{service}/{method.name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=GetMessageClass(method.output_type).FromString,
        )
        call = rpc(_message(method, fields), metadata=tuple(headers.items()), timeout=_SECONDS)
        try:
            answers = [one async for one in call] if method.server_streaming else [await call]
        except grpc.aio.AioRpcError as error:
            return Answer(error.code().name, error.details() or "", {})
        return Answer("OK", "".join(map(_text, answers)), {})


@asynccontextmanager
async def calling(system: System) -> AsyncIterator[Caller]:
    """Yield a caller whose connections end with the block."""
    connector = aiohttp.TCPConnector(limit=_AT_ONCE)
    timeout = aiohttp.ClientTimeout(_SECONDS)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as http,
        grpc.aio.insecure_channel(system.target) as channel,
    ):
        yield Caller(system, http, channel)


def _message(method: MethodDescriptor, fields: Json) -> Message:
    message = GetMessageClass(method.input_type)()
    for name, value in fields.items():
        kind = method.input_type.fields_by_name[name].message_type
        if kind is not None and kind.full_name == HttpBody.DESCRIPTOR.full_name:
            data, content_type = _encode(value)
            getattr(message, name).CopyFrom(HttpBody(content_type=content_type, data=data))
        else:
            json_format.ParseDict({name: value}, message)
    return message


def _encode(body: object) -> tuple[bytes, str]:
    """Return a body and its content type: a text is a form, and all else is JSON."""
    if isinstance(body, str):
        return body.encode(), "application/x-www-form-urlencoded"
    return (b"" if body is None else json.dumps(body).encode()), "application/json"


def _text(message: Message) -> str:
    if isinstance(message, HttpBody):
        return str(message.data, "utf-8", "replace")
    return json_format.MessageToJson(message)
