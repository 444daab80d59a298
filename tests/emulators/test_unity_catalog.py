"""MLflow's own client understands the emulated server."""

from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.store._unity_catalog.registry.uc_oss_rest_store import UnityCatalogOssStore

from tests.emulators.emulator import running_in_thread
from tests.emulators.unity_catalog import UnityCatalogEmulator


def test_versions() -> None:
    with running_in_thread(UnityCatalogEmulator) as emulator:
        emulator.versions["main.ml.iris"] = {1: ("s3://bucket/1", "READY")}
        store: Any = UnityCatalogOssStore(f"uc:{emulator.origin}")  # type: ignore[no-untyped-call]
        found = store.get_model_version("main.ml.iris", 1)
        assert (found.name, int(found.version), found.status) == ("main.ml.iris", 1, "READY")
        assert store.get_model_version_download_uri("main.ml.iris", 1) == "s3://bucket/1"
        with pytest.raises(MlflowException, match="Model version not found"):
            store.get_model_version("main.ml.iris", 2)
