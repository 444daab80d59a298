"""Statements on the issuers of JWTs: this deployment itself, and those outside.

Before: `snapshots.builder`, `secrets.signing`, `outside_issuers`. After: `tables`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from modelserving.worker.v1.snapshot_pb2 import IssuerResource, VerificationKey
from sqlmodel import col, delete, select

from modelplane.adapters.shared.jwt.keys import EDDSA
from modelplane.control_plane.store.codec import decode, decode_all, encode, encode_all
from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.events import read_head
from modelplane.control_plane.store.tables import EventKind, IssuerRow, SigningKeyRow

# Claim that names the principal in the deployment's own tokens.
SUBJECT = "sub"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair of this deployment."""

    id: str
    # DER of SubjectPublicKeyInfo.
    public_key: bytes = field(repr=False)
    sealed: bytes = field(repr=False)
    created_ms: int


def signing_key_place(key_id: str) -> bytes:
    """Return what binds a sealed private key to its row."""
    return f"signing-key/{key_id}".encode()


async def load_issuers(
    session: Session, names: Collection[str] | None
) -> Mapping[str, IssuerResource]:
    """Return the issuers `names` that exist, this deployment among them; None: all."""
    own = await load_own_issuer(session)
    found = [own] if own.keys else []
    for row in (await session.exec(select(IssuerRow))).all():
        resource = decode(row.settings_json, IssuerResource)
        resource.keys.extend(decode_all(row.keys_json, VerificationKey))
        found.append(resource)
    return {item.issuer: item for item in found if names is None or item.issuer in names}


async def load_own_issuer(session: Session) -> IssuerResource:
    """Return this deployment as an issuer; without keys when it has none yet."""
    name = await own_name(session)
    keys = [
        VerificationKey(key_id=key.id, algorithm=EDDSA, public_key=key.public_key)
        for key in await load_signing_keys(session)
    ]
    return IssuerResource(issuer=name, audiences=[name], principal_claim=SUBJECT, keys=keys)


async def own_name(session: Session) -> str:
    """Return what stands in the claims `iss` and `aud` of the deployment's own tokens."""
    return f"urn:modelplane:{(await read_head(session)).store_id}"


async def load_signing_keys(session: Session) -> list[SigningKey]:
    """Return the deployment's own key pairs, newest first."""
    order = (col(SigningKeyRow.created_ms).desc(), col(SigningKeyRow.id))
    rows = (await session.exec(select(SigningKeyRow).order_by(*order))).all()
    return [SigningKey(row.id, row.public_key, row.sealed, row.created_ms) for row in rows]


async def insert_signing_key(transaction: Transaction, key: SigningKey) -> None:
    """Store a key pair."""
    row = SigningKeyRow(
        id=key.id, public_key=key.public_key, sealed=key.sealed, created_ms=key.created_ms
    )
    transaction.session.add(row)
    await transaction.session.flush()


async def remove_signing_keys(transaction: Transaction, ids: Collection[str]) -> None:
    """Delete key pairs."""
    await transaction.session.exec(delete(SigningKeyRow).where(col(SigningKeyRow.id).in_(ids)))


async def revise_own_issuer(transaction: Transaction) -> int:
    """Let the workers know the deployment's own keys; return the revision."""
    return await transaction.revise(EventKind.ISSUER, await own_name(transaction.session))


async def set_outside_issuers(transaction: Transaction, wanted: Collection[IssuerResource]) -> None:
    """Make `wanted` the outside issuers; one that is known keeps its keys."""
    rows = (await transaction.session.exec(select(IssuerRow))).all()
    known = {row.issuer: row for row in rows}
    names = {item.issuer for item in wanted}
    gone = [row for row in rows if row.issuer not in names]
    for row in gone:
        await transaction.session.delete(row)
    changed = [row.issuer for row in gone]
    for item in wanted:
        row = known.get(item.issuer) or IssuerRow(issuer=item.issuer, settings_json="")
        settings_json = encode(item)
        if row.settings_json != settings_json:
            row.settings_json = settings_json
            transaction.session.add(row)
            changed.append(item.issuer)
    await transaction.session.flush()
    for name in changed:
        await transaction.revise(EventKind.ISSUER, name)


async def set_issuer_keys(
    transaction: Transaction, name: str, keys: Collection[VerificationKey]
) -> bool:
    """Make `keys` the keys of an outside issuer; return False when they already are."""
    row = await transaction.session.get(IssuerRow, name)
    ordered = sorted(keys, key=lambda key: key.key_id)
    keys_json = encode_all(ordered)
    if row is None or row.keys_json == keys_json:
        return False
    row.keys_json = keys_json
    transaction.session.add(row)
    await transaction.session.flush()
    await transaction.revise(EventKind.ISSUER, name)
    return True
