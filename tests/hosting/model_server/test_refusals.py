"""What callers and owners are told of what went wrong."""

import ctypes

import pytest

from modelplane.launcher.model_server.refusals import of_loading


def test_a_system_library_that_is_missing_is_named() -> None:
    with pytest.raises(OSError, match="cannot open shared object file") as missing:
        ctypes.CDLL("/nowhere/to/be/found/libgomp.so.1")
    assert of_loading(missing.value) == (
        "An error occurred while loading the model. It needs the system library libgomp.so.1, "
        "which is not on this machine: have it installed, or log the model with a package that "
        "brings it."
    )
