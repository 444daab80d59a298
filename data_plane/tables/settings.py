"""Settings of the payload writer, each with its default beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

from modelplane.adapters.shared.settings import environment, load, setting


@dataclass(frozen=True)
class WriterSettings:
    """Write what workers on this disk have recorded to payload tables."""

    tables_root: str = setting(
        "", "directory of the payload tables, or URL of an object store: s3://, gs:// or az://"
    )
    payload_dir: str = setting(".modelplane/payloads", "directory to which workers record")
    payload_max_mib: int = setting(1024, "MiB that all that waits may take on the disk")
    payload_retention_days: int = setting(0, "days for which rows are kept; 0: for ever")
    writer_metrics_listen: str = setting("127.0.0.1:9103", "host:port of the metrics page")
    log_level: str = setting("info", "debug, info, warning or error")

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: There is no root.
        """
        if not self.tables_root:
            raise ValueError("MODELPLANE_TABLES_ROOT is required: where the tables are")
        if self.payload_retention_days < 0:
            raise ValueError("MODELPLANE_PAYLOAD_RETENTION_DAYS must be 0 or more")


def load_settings(argv: Sequence[str]) -> WriterSettings:
    """Return the settings given by `argv` and the environment."""
    return load(WriterSettings, "modelplane payload-writer", argv, environment())
