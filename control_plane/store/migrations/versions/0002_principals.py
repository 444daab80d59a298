"""Users, service principals and groups; permissions on endpoints and secret scopes."""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Apply."""
    principal = op.create_table(
        "principal",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("tokens_valid_from_ms", sa.BigInteger(), nullable=False),
    )
    _create_groups()
    _add_permissions(principal)
    # Only the deployment's own admin token can be in it, and that is put back at each start.
    op.drop_table("access_token")
    op.create_table(
        "access_token",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("digest", sa.LargeBinary(), nullable=False, unique=True),
        _reference("principal"),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expiry_ms", sa.BigInteger(), nullable=True),
    )


def _create_groups() -> None:
    op.create_table(
        "principal_group",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("name", sa.String(), nullable=False, unique=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
    )
    group = sa.ForeignKey("principal_group.id", ondelete="CASCADE")
    op.create_table(
        "group_member",
        sa.Column("group_id", sa.String(), group, primary_key=True),
        _reference("principal", primary_key=True),
    )


def _add_permissions(principal: sa.Table) -> None:
    """Give creators, until now known by name only, a principal that manages what they made."""
    for table, column, default in (
        ("secret_scope", "acl_json", "{}"),
        ("endpoint", "grants_json", "{}"),
        ("endpoint", "creator_id", ""),
    ):
        new = sa.Column(column, sa.String(), nullable=False, server_default=default)
        op.add_column(table, new)
    names = sa.text("SELECT creator FROM endpoint UNION SELECT creator FROM secret_scope")
    connection = op.get_bind()
    for (name,) in connection.execute(names).all():
        row = {"id": str(secrets.randbelow(2**53)), "kind": "user", "name": name}
        rest = {"display_name": name, "active": True, "created_ms": 0, "tokens_valid_from_ms": 0}
        op.bulk_insert(principal, [row | rest])
        connection.execute(
            sa.text(
                "UPDATE endpoint SET creator_id = :id, grants_json = :grants WHERE creator = :name"
            ),
            {"id": row["id"], "grants": f'{{"{row["id"]}":"CAN_MANAGE"}}', "name": name},
        )
        connection.execute(
            sa.text("UPDATE secret_scope SET acl_json = :acl WHERE creator = :name"),
            {"acl": f'{{"{row["id"]}":"MANAGE"}}', "name": name},
        )


def _reference(table: str, *, primary_key: bool = False) -> sa.Column[str]:
    target = sa.ForeignKey(f"{table}.id", ondelete="CASCADE")
    return sa.Column(
        f"{table}_id", sa.String(), target, primary_key=primary_key, nullable=False, index=True
    )
