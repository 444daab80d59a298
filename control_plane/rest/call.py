"""One REST call of management: from what Envoy hands over to the request of its RPC.

Path and query string are read by Envoy, which ignores what it does not know there; so their names
are checked here, and the body, which comes as it was sent, is read here.

Before: `interceptor`. After: `json_document`, `json_reader`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from google.api import annotations_pb2, httpbody_pb2
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import FieldDescriptor, MethodDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from modelplane.adapters.shared.rpc.over_rest import BODY_NUMBER, public_service
from modelplane.adapters.shared.rpc.services import rules_of
from modelplane.control_plane.errors import InvalidParameter, MalformedRequest
from modelplane.control_plane.identity.scim import may_ignore
from modelplane.control_plane.rest.json_document import parse_document
from modelplane.control_plane.rest.json_reader import JsonReader
from modelplane.control_plane.rest.refusals import twice, unknown

_WHOLE = "*"
_READER = JsonReader()
# Attributes of SCIM are an open set, and their names have no case (RFC 7643, section 2.1).
_SCIM_READER = JsonReader(may_ignore, json_names=True)


@dataclass(frozen=True)
class RestMethod:
    """An RPC as its REST route binds it.

    Attributes:
        path: The RPC, as `/package.Service/Method`.
        method: Its description.
        bound: Fields that the path holds.
        body: Field that the body holds; `*`: the whole request; empty: none does.
        is_get: Whether it only reads.
    """

    path: str
    method: MethodDescriptor
    bound: frozenset[str]
    body: str
    is_get: bool = False

    @cached_property
    def parameters(self) -> Mapping[str, FieldDescriptor]:
        """Fields that the query string may hold, by each spelling of their names."""
        if self.body == _WHOLE:
            return {}
        taken = {*self.bound, self.body}
        return {
            spelling: field
            for field in self.method.input_type.fields
            if field.name not in taken
            for spelling in (field.name, field.json_name)
        }

    @property
    def reader(self) -> JsonReader:
        """What reads its bodies."""
        return _SCIM_READER if rules_of(self.method.containing_service).scim else _READER


@lru_cache(maxsize=1024)
def find_rest_method(path: str) -> RestMethod | None:
    """Return the RPC that Envoy calls by `path`; None where it is no REST call of management."""
    service, _, name = path.lstrip("/").partition("/")
    public = public_service(service)
    if public is None:
        return None
    try:
        found = descriptor_pool.Default().FindServiceByName(public).methods_by_name[name]
    except KeyError:
        return None
    rule = found.GetOptions().Extensions[annotations_pb2.http]
    route = getattr(rule, rule.WhichOneof("pattern"))
    bound = frozenset(re.findall(r"{(\w+)", route))
    is_get = rule.WhichOneof("pattern") == "get"
    return RestMethod(f"/{public}/{name}", found, bound, rule.body, is_get)


class RestCall:
    """One call of a `RestMethod`."""

    def __init__(self, method: RestMethod, original_path: str, content: bytes) -> None:
        """Take what Envoy hands over.

        Args:
            method: The RPC.
            original_path: Path and query string, as the caller sent them.
            content: The request message, with the body in a field of its own.

        Raises:
            MalformedRequest: Path or query string hold what is no text.
        """
        self._method = method
        self._query = original_path.partition("?")[2]
        message_class: Any = GetMessageClass(method.method.input_type)
        try:
            self.request: Message = message_class.FromString(content)
            self._body = _find_body(self.request)
        except DecodeError:
            raise MalformedRequest(
                "The path or the query holds text that is not valid UTF-8."
            ) from None
        self.request.DiscardUnknownFields()

    def read(self) -> None:
        """Check the query string, and complete the request by the body.

        Raises:
            MalformedRequest: The body is no JSON, or a value has the wrong type.
            InvalidParameter: A name is not known, or given twice.
        """
        in_query = self._check_query()
        document = parse_document(self._body)
        rest, reader = self._method, self._method.reader
        if rest.body == _WHOLE:
            reader.read(document, self.request, bound=rest.bound)
        elif rest.body:
            part: Message = getattr(self.request, rest.body)
            part.SetInParent()
            reader.read(document, part)
        elif document is not None:
            # "Manage model serving endpoints" prints the parameter of a GET as its body.
            by_body = rest.is_get and rest.parameters
            bound = rest.bound | in_query
            reader.read(document, self.request if by_body else Empty(), bound=bound)

    def _check_query(self) -> set[str]:
        """Return the fields that the query string holds."""
        given: set[str] = set()
        for name in _parameter_names(self._query):
            field = self._method.parameters.get(name)
            if field is None:
                known = set(map(self._method.reader.name, self._method.parameters.values()))
                raise unknown(name, "", known, "query parameter")
            if field.name in given and not field.is_repeated:
                raise twice(name, "Query parameter ")
            given.add(field.name)
        return given


def _parameter_names(query: str) -> Iterator[str]:
    for part in filter(None, query.split("&")):
        name, is_parameter, _ = part.partition("=")
        if not is_parameter:
            # It is not shown, since it may be a value, and that a credential.
            raise InvalidParameter(
                "The query string holds text that is no parameter; write it as name=value, or "
                "leave it out."
            )
        # As it stands: Envoy, which reads the values, resolves no escapes in names either.
        yield name


def _find_body(request: Message) -> bytes:
    fields: Iterable[Any] = UnknownFieldSet(request)  # type: ignore[assignment]
    parts = [field.data for field in fields if field.field_number == BODY_NUMBER]
    # A message in parts is the same as its parts in a row.
    body: bytes = httpbody_pb2.HttpBody.FromString(b"".join(parts)).data
    return body
