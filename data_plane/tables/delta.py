"""Delta tables below one root: a directory, or an object store; each has rows of one kind.

Used by `writer.py`; nothing else of a deployment imports `deltalake`, which is an extra. A commit
carries the number of the last batch in it as the table's own transaction identifier, so that what
is in the table already is known to be, whoever was killed when.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import DeltaError

from modelplane.data_plane.payloads.row import PayloadRow
from modelplane.data_plane.tables import columns, signals

__all__ = ["DeltaError", "DeltaTables"]
_RETRIES = 100
# Of the files that days of the past are compacted to.
_FILE_BYTES = 128 << 20
# Queries that run for longer may miss files.
_VACUUM_HOURS = 7 * 24
_S3 = ("s3://", "s3a://")


class DeltaTables:
    """The payload tables of a deployment."""

    def __init__(self, root: str, writer_id: str) -> None:
        """Write below `root`.

        Args:
            root: Directory, or URL of an object store, whose credentials are the environment's.
            writer_id: Identifies whoever numbers the batches.
        """
        self._root = root.rstrip("/")
        self._app_id = f"modelplane/{writer_id}"
        # Two writers of one version: the store itself refuses the second.
        self._options = {"conditional_put": "etag"} if root.startswith(_S3) else None

    def uri(self, location: str) -> str:
        """Return where a table is."""
        return f"{self._root}/{location}"

    def committed(self, location: str) -> int:
        """Return the number of the last batch that a table has; 0: none.

        Raises:
            DeltaError: It cannot be read.
            OSError: The store cannot be reached.
        """
        table = self.open(location)
        return (table.transaction_version(self._app_id) or 0) if table else 0

    def open(self, location: str) -> DeltaTable | None:
        """Return a table; None: there is none.

        Raises:
            DeltaError: It cannot be read.
            OSError: The store cannot be reached.
        """
        uri = self.uri(location)
        if not DeltaTable.is_deltatable(uri, storage_options=self._options):
            return None
        return DeltaTable(uri, storage_options=self._options)

    def append(self, location: str, number: int, rows: Sequence[PayloadRow]) -> None:
        """Append the rows of all batches up to `number` that the table does not have.

        Raises:
            DeltaError: The table does not take them.
            OSError: The store cannot be reached.
        """
        if rows[0].kind:
            table, partition = signals.build_signals(rows), signals.PARTITION
        else:
            table, partition = columns.build_table(rows), columns.PARTITION
        uri = self.uri(location)
        if "://" not in uri:
            Path(uri).mkdir(parents=True, exist_ok=True)
        write_deltalake(
            uri,
            table,
            mode="append",
            partition_by=[partition],
            schema_mode="merge",
            storage_options=self._options,
            commit_properties=CommitProperties(
                app_transactions=[Transaction(self._app_id, number)], max_commit_retries=_RETRIES
            ),
        )

    def maintain(self, location: str, today: date, oldest: date | None) -> None:
        """Keep a table in order; see `maintenance.Kept`.

        Raises:
            DeltaError: The table does not take it, as when somebody else does the same.
            OSError: The store cannot be reached.
        """
        table = self.open(location)
        if table is None:
            return
        [partition] = table.metadata().partition_columns
        if oldest is not None:
            table.delete(f"{partition} < DATE '{oldest.isoformat()}'")
        past = [(partition, "<", today.isoformat())]
        table.optimize.compact(partition_filters=past, target_size=_FILE_BYTES)
        table.vacuum(_VACUUM_HOURS, dry_run=False)
        table.create_checkpoint()
        table.cleanup_metadata()
