"""Where the credentials of an external model are: found by reflection, in both planes.

A credential is a pair of string fields F and F_plaintext anywhere inside an external model. F
refers to a stored secret, F_plaintext is the value.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from modelserving.v1.endpoint_pb2 import EndpointConfig

PLAINTEXT = "_plaintext"
_REFERENCE = re.compile(r"\{\{secrets/([A-Za-z0-9_.-]{1,128})/([A-Za-z0-9_.-]{1,128})\}\}")


@dataclass(frozen=True, slots=True)
class CredentialSlot:
    """One credential of a configuration, which the setters change in place."""

    entity: str
    # Where it is inside the external model, for example `openai_config.openai_api_key`.
    name: str
    # Not in the repr: it may hold a secret.
    message: Message = field(repr=False)
    # Name of the field F.
    field_name: str

    @property
    def path(self) -> str:
        """Key of the sealed value."""
        return f"{self.entity}/{self.name}{PLAINTEXT}"

    @property
    def reference(self) -> str:
        """The reference; empty when there is none."""
        return str(getattr(self.message, self.field_name))

    @property
    def plaintext(self) -> str:
        """The value itself; empty when there is none."""
        return str(getattr(self.message, self.field_name + PLAINTEXT))

    def take_plaintext(self) -> str:
        """Remove the value and return it."""
        value = self.plaintext
        self.message.ClearField(self.field_name + PLAINTEXT)
        return value

    def resolve(self, value: str) -> None:
        """Put the value in, in place of a reference.

        Without the line end that files and shells leave behind: no credential has one, and no
        header could carry it.
        """
        self.message.ClearField(self.field_name)
        setattr(self.message, self.field_name + PLAINTEXT, value.strip())


def find_credentials(config: EndpointConfig) -> Iterator[CredentialSlot]:
    """Yield every credential slot of the external models in `config`, filled or not."""
    for entity in config.served_entities:
        if entity.HasField("external_model"):
            yield from _slots_in(entity.external_model, entity.name, "")


def credential_fields(message: Message) -> Sequence[str]:
    """Return the names of the credential fields F that the message has itself."""
    return _shape(message.DESCRIPTOR)[0]


def parse_reference(text: str) -> tuple[str, str] | None:
    """Return scope and key of a reference; None when `text` is none."""
    match = _REFERENCE.fullmatch(text.strip())
    return (match[1], match[2]) if match else None


def names_referred_to(config: EndpointConfig) -> set[str]:
    """Return the secrets that the external models in `config` refer to, as `scope/key`."""
    found = (_name(getattr(message, field)) for message, field in _references_in(config))
    return {name for name in found if name}


def fill_in(config: EndpointConfig, values: Mapping[str, str]) -> None:
    """Put values in, by `scope/key`, where the external models in `config` refer to secrets.

    A reference whose secret is not there is left as it is.
    """
    for message, field_name in _references_in(config):
        value = values.get(_name(getattr(message, field_name)))
        if value is not None:
            CredentialSlot("", field_name, message, field_name).resolve(value)


def _references_in(config: EndpointConfig) -> Iterator[tuple[Message, str]]:
    """Yield each field F in which something is, for thousands of endpoints at a time."""
    waiting: list[Message] = [
        entity.external_model
        for entity in config.served_entities
        if entity.HasField("external_model")
    ]
    while waiting:
        message = waiting.pop()
        names, children = _shape(message.DESCRIPTOR)
        for name in names:
            if getattr(message, name):
                yield message, name
        waiting += [getattr(message, child) for child in children if message.HasField(child)]


def _name(reference: str) -> str:
    found = parse_reference(reference)
    return "/".join(found) if found else ""


def _slots_in(message: Message, entity: str, prefix: str) -> Iterator[CredentialSlot]:
    names, children = _shape(message.DESCRIPTOR)
    for name in names:
        yield CredentialSlot(entity, prefix + name, message, name)
    for child in children:
        if message.HasField(child):
            yield from _slots_in(getattr(message, child), entity, f"{prefix}{child}.")


@lru_cache
def _shape(descriptor: Descriptor) -> tuple[tuple[str, ...], tuple[str, ...]]:
    fields = descriptor.fields_by_name
    names = tuple(name for name in fields if name + PLAINTEXT in fields)
    children = tuple(
        name
        for name, child in fields.items()
        if child.type == FieldDescriptor.TYPE_MESSAGE and not child.is_repeated
    )
    return names, children
