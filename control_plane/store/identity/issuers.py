"""Statements on the issuers of JWTs: what this deployment is called as one, and those outside.

Before: `snapshots.builder`, `secrets.signing`, `identity`. After: `tables`. What the deployment
signs with is in `secrets.signing_keys`.
"""

from collections.abc import Collection

from modelserving.worker.v1.snapshot_pb2 import IssuerResource, VerificationKey
from sqlmodel import select

from modelplane.control_plane.store.database import Session, Transaction
from modelplane.control_plane.store.events import read_head
from modelplane.control_plane.store.states import EventKind
from modelplane.control_plane.store.tables import IssuerRow


async def own_name(session: Session) -> str:
    """Return what stands in the claims `iss` and `aud` of the deployment's own tokens."""
    return f"urn:modelplane:{(await read_head(session)).store_id}"


async def revise_own_issuer(transaction: Transaction) -> int:
    """Let the workers know the deployment's own keys; return the revision."""
    return await transaction.revise(EventKind.ISSUER, await own_name(transaction.session))


async def load_outside_issuers(session: Session) -> list[IssuerResource]:
    """Return the outside issuers with the keys that they last published."""
    rows = (await session.exec(select(IssuerRow))).all()
    return [IssuerResource.FromString(row.resource) for row in rows]


async def set_outside_issuers(transaction: Transaction, wanted: Collection[IssuerResource]) -> None:
    """Make `wanted`, given without keys, the outside issuers; one that is known keeps its keys."""
    session = transaction.session
    known = {row.issuer: row for row in (await session.exec(select(IssuerRow))).all()}
    gone = known.keys() - {item.issuer for item in wanted}
    changed = sorted(gone)
    for name in changed:
        await session.delete(known[name])
    for item in wanted:
        row = known.get(item.issuer)
        stored = IssuerResource.FromString(row.resource) if row else IssuerResource()
        resource = IssuerResource()
        resource.CopyFrom(item)
        resource.keys.extend(stored.keys)
        if resource != stored:
            await session.merge(
                IssuerRow(issuer=item.issuer, resource=resource.SerializeToString())
            )
            changed.append(item.issuer)
    await session.flush()
    for name in changed:
        await transaction.revise(EventKind.ISSUER, name)


async def set_issuer_keys(
    transaction: Transaction, name: str, keys: Collection[VerificationKey]
) -> bool:
    """Make `keys` the keys of an outside issuer; return False when they already are."""
    row = await transaction.session.get(IssuerRow, name)
    if row is None:
        return False
    resource = IssuerResource.FromString(row.resource)
    ordered = sorted(keys, key=lambda key: key.key_id)
    if list(resource.keys) == ordered:
        return False
    resource.ClearField("keys")
    resource.keys.extend(ordered)
    row.resource = resource.SerializeToString()
    transaction.session.add(row)
    await transaction.session.flush()
    await transaction.revise(EventKind.ISSUER, name)
    return True
