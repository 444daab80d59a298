"""Credentials inside a configuration: sealed at rest, opened for workers and launchers.

Where they are says `credential_slots`. A value is taken out of the configuration before it is
stored and sealed beside it; a reference to a secret stays. An environment variable of a hosted
model may be a reference too.

Before: `endpoints.lifecycle`, `references`, `snapshots.builder`. After: `encryption`,
`store.secrets.scopes`.
"""

import logging
from collections.abc import Collection, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from modelserving.v1.endpoint_pb2 import EndpointConfig

from modelplane.adapters.shared.credential_slots import (
    PLAINTEXT,
    CredentialSlot,
    find_credentials,
    parse_reference,
)
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.secrets.encryption import SealBroken, Sealer
from modelplane.control_plane.secrets.pseudonym_keys import open_pseudonym_keys
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.secrets.credentials import load_credentials
from modelplane.control_plane.store.secrets.scopes import SecretName, load_secrets
from modelplane.control_plane.store.secrets.sealed import credential_place, secret_place

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class VariableSlot:
    """An environment variable whose value is a reference."""

    entity: str
    variable: str
    # Not in the repr: other variables may hold secrets.
    variables: MutableMapping[str, str] = field(repr=False)

    @property
    def name(self) -> str:
        """Where it is inside the served entity."""
        return f"environment_vars.{self.variable}"

    @property
    def path(self) -> str:
        """Key of a sealed value; a variable never has one."""
        return f"{self.entity}/{self.name}"

    @property
    def reference(self) -> str:
        """The reference."""
        return self.variables[self.variable]

    def resolve(self, value: str) -> None:
        """Put the value in, in place of the reference."""
        self.variables[self.variable] = value


Slot: TypeAlias = CredentialSlot | VariableSlot


def find_slots(config: EndpointConfig) -> Iterator[Slot]:
    """Yield every slot in `config` that may hold a reference, filled or not."""
    yield from find_credentials(config)
    for entity in config.served_entities:
        for variable, value in sorted(entity.environment_vars.items()):
            if parse_reference(value):
                yield VariableSlot(entity.name, variable, entity.environment_vars)


def take_plaintexts(config: EndpointConfig) -> dict[str, str]:
    """Remove every plaintext credential from `config` and return them by path."""
    taken = {slot.path: slot.take_plaintext() for slot in find_credentials(config)}
    return {path: value for path, value in taken.items() if value}


def reference_to(name: SecretName) -> str:
    """Return the reference to a secret."""
    return f"{{{{secrets/{name[0]}/{name[1]}}}}}"


def find_references(config: EndpointConfig) -> dict[SecretName, Slot]:
    """Return the secrets that `config` refers to, each with a slot that does.

    Raises:
        InvalidParameter: A field for a reference holds something else. The message does not repeat
            it, since it may be a secret in the wrong place.
    """
    references: dict[SecretName, Slot] = {}
    for slot in find_slots(config):
        if not slot.reference:
            continue
        name = parse_reference(slot.reference)
        if name is None:
            raise InvalidParameter(
                f"Served entity '{slot.entity}': {slot.name} must be a reference of the form "
                f"{{{{secrets/scope/key}}}}; to give the value itself, use {slot.name}{PLAINTEXT}."
            )
        references[name] = slot
    return references


def references_in(config: EndpointConfig) -> set[SecretName]:
    """Return the secrets that a stored configuration refers to; what is no reference is let be."""
    names = (parse_reference(slot.reference) for slot in find_slots(config))
    return {name for name in names if name}


class CredentialVault:
    """Seals the credentials of a version, and opens them again to copy them to another."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def seal(
        self, endpoint_id: str, version: int, plaintexts: Mapping[str, str]
    ) -> dict[str, bytes]:
        """Return `plaintexts`, by path, sealed for this version of this endpoint.

        Raises:
            StoreUnavailable: The master key is kept elsewhere, and that does not answer.
        """
        return {
            path: await self._sealer.seal(
                value.encode(), credential_place(endpoint_id, version, path)
            )
            for path, value in plaintexts.items()
        }

    async def open(self, session: Session, endpoint_id: str, version: int) -> dict[str, str]:
        """Return the credentials of a stored version by path.

        Raises:
            SealBroken: They were sealed with another master key.
        """
        found = await load_credentials(session, [(endpoint_id, version)])
        return {
            path: (
                await self._sealer.open(sealed, credential_place(endpoint_id, version, path))
            ).decode()
            for path, sealed in found.get((endpoint_id, version), {}).items()
        }


class CredentialResolver:
    """Opens the credentials of configurations for workers and launchers."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def pseudonym_keys(
        self, session: Session, endpoint_ids: Collection[str]
    ) -> Mapping[str, bytes]:
        """Return the keys of endpoints' pseudonyms; see `pseudonym_keys.py`."""
        return await open_pseudonym_keys(session, self._sealer, endpoint_ids)

    async def resolve(
        self, session: Session, endpoint_id: str, config: EndpointConfig
    ) -> EndpointConfig:
        """Return a copy of `config` with every credential in its plaintext field.

        A reference whose secret is gone is left as it is.
        """
        return (await self.resolve_all(session, [(endpoint_id, config)]))[0]

    async def resolve_all(
        self, session: Session, configs: Sequence[tuple[str, EndpointConfig]]
    ) -> list[EndpointConfig]:
        """Resolve many configurations, each of an endpoint, with two queries.

        Each secret is opened once.
        """
        copies = [_copy(config) for config in await self.fill_given(session, configs)]
        slots = [slot for config in copies for slot in find_slots(config)]
        names = [parse_reference(slot.reference) for slot in slots]
        values = await self.open_secrets(session, {name for name in names if name})
        for slot, name in zip(slots, names, strict=True):
            value = values.get(name) if name else None
            if value is not None:
                slot.resolve(value)
        return copies

    async def fill_given(
        self, session: Session, configs: Sequence[tuple[str, EndpointConfig]]
    ) -> list[EndpointConfig]:
        """Return configurations with the values that were given in them; references stay.

        One in which none was given is returned as it is.
        """
        versions = [(endpoint_id, config.config_version) for endpoint_id, config in configs]
        credentials = await self._open_credentials(session, versions)
        return [
            _filled(config, credentials[version]) if version in credentials else config
            for version, (_, config) in zip(versions, configs, strict=True)
        ]

    async def open_secrets(
        self, session: Session, names: Collection[SecretName]
    ) -> dict[SecretName, str | None]:
        """Return the values of those secrets `names` that exist; None: it cannot be opened."""
        stored = await load_secrets(session, names)
        known = [name for name in names if name in stored]
        values = await self._open([(stored[name], secret_place(name)) for name in known])
        return dict(zip(known, values, strict=True))

    async def _open_credentials(
        self, session: Session, versions: Collection[tuple[str, int]]
    ) -> dict[tuple[str, int], dict[str, str | None]]:
        stored = await load_credentials(session, versions)
        rows = [
            (version, path, sealed)
            for version in stored.keys() & versions
            for path, sealed in stored[version].items()
        ]
        values = await self._open(
            [(sealed, credential_place(*version, path)) for version, path, sealed in rows]
        )
        opened: dict[tuple[str, int], dict[str, str | None]] = {}
        for (version, path, _), value in zip(rows, values, strict=True):
            opened.setdefault(version, {})[path] = value
        return opened

    async def _open(self, sealed: Sequence[tuple[bytes, bytes]]) -> list[str | None]:
        # One secret that cannot be opened must not keep all other endpoints from the workers.
        opened = await self._sealer.open_all(sealed)
        return [_text(value, place) for value, (_, place) in zip(opened, sealed, strict=True)]


def _text(value: bytes | SealBroken, place: bytes) -> str | None:
    try:
        if isinstance(value, SealBroken):
            raise value
        return value.decode()
    except (SealBroken, UnicodeDecodeError) as error:
        fields = {"place": place.decode(), "reason": type(error).__name__}
        _log.error("cannot open a credential", extra=log_fields(**fields))
        return None


def _filled(config: EndpointConfig, given: Mapping[str, str | None]) -> EndpointConfig:
    copy = _copy(config)
    for slot in find_credentials(copy):
        value = given.get(slot.path)
        if value is not None:
            slot.resolve(value)
    return copy


def _copy(config: EndpointConfig) -> EndpointConfig:
    copy = EndpointConfig()
    copy.CopyFrom(config)
    return copy
