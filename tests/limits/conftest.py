"""A database for the counters."""

from tests.control_plane.conftest import database, database_url

__all__ = ["database", "database_url"]
