"""A strict Databricks Model Serving server for tests; the server itself is in `server`."""

from tests.emulators.databricks_model_serving.server import TOKEN, DatabricksEmulator

__all__ = ["TOKEN", "DatabricksEmulator"]
