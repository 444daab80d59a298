"""What callers are told instead of an answer: a status, a code and a text.

What a caller or a model does wrong is always a 4xx: clients send a request again after a 5xx, and a
model that fails would fail again. The text never holds a stack trace, nor where the files of this
machine are.
"""

from __future__ import annotations

import json
import os
import re
import site
import sys
import tempfile
from typing import Iterable

_MOST_CHARACTERS = 4000
_HEAD_CHARACTERS = 1000
# Databricks' SDK sends a request again when a text holds one of these.
_RETRIED = (
    "Unexpected error",
    "Please try again later or try a faster operation.",
    "RPC token bucket limit has been exceeded",
    "com.databricks.backend.manager.util.UnknownWorkerEnvironmentException",
    "does not have any associated worker environments",
    "There is no worker environment with id",
    "Unknown worker environment",
    "ClusterNotReadyException",
)
_KEPT_CODES = {"BAD_REQUEST", "INVALID_PARAMETER_VALUE"}
# What the dynamic linker says of a library that it cannot find.
_NO_LIBRARY = re.compile(r"([^\s:]+\.so[.\d]*): cannot open shared object file[^\n]*")
_STARTED_IN = os.getcwd()


class Refused(Exception):
    """A request that gets no answer from the model: its status, code and text."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message

    def body(self) -> bytes:
        """Return the JSON that the caller gets."""
        return json.dumps({"error_code": self.code, "message": self.message}).encode()


def bad_request(message: str) -> Refused:
    """Return the refusal of a request that cannot be understood."""
    return Refused(400, "BAD_REQUEST", message)


def invalid(message: str) -> Refused:
    """Return the refusal of a value that the model does not take."""
    return Refused(400, "INVALID_PARAMETER_VALUE", message)


def timed_out() -> Refused:
    """Return the refusal of a request that the model did not answer in time."""
    return Refused(
        504,
        "DEADLINE_EXCEEDED",
        "Timed out while evaluating the model. Verify that the model evaluates within the timeout.",
    )


def of_model(error: BaseException) -> Refused:
    """Return what a caller is told of an error that came out of the model, or of MLflow."""
    if isinstance(error, Refused):
        return error
    code = str(getattr(error, "error_code", ""))
    if isinstance(getattr(error, "message", None), str) and code:  # one of MLflow's
        return Refused(400, code if code in _KEPT_CODES else "BAD_REQUEST", clean(str(error)))
    if isinstance(error, SystemExit):
        told = "the model's code tried to end the process"
    elif isinstance(error, MemoryError):
        told = "the model ran out of memory"
    else:
        told = "%s: %s" % (type(error).__name__, error)
    return bad_request(
        "Encountered an unexpected error while evaluating the model. Verify that the input is "
        "compatible with the model for inference. Error: " + clean(told)
    )


def of_loading(error: BaseException) -> str:
    """Return in one line why a model could not be loaded."""
    told = str(error) or type(error).__name__
    missing = _NO_LIBRARY.search(told)
    if missing is not None:
        told = (
            "It needs the system library %s, which is not on this machine: have it installed, or "
            "log the model with a package that brings it." % os.path.basename(missing.group(1))
        )
    return "An error occurred while loading the model. " + clean(told)


def clean(text: str) -> str:
    """Return a text as callers may see it: without paths of this machine, and not too long."""
    text = _server_paths().sub(_base_name, text)
    for phrase in _RETRIED:
        text = text.replace(phrase, phrase[0].swapcase() + phrase[1:])
    if len(text) > _MOST_CHARACTERS:
        # MLflow puts the input before the reason.
        tail = text[_HEAD_CHARACTERS - _MOST_CHARACTERS :]
        text = "%s [...] %s" % (text[:_HEAD_CHARACTERS], tail)
    return text


def _server_paths() -> re.Pattern[str]:
    folders = {sys.prefix, sys.base_prefix, tempfile.gettempdir(), os.path.dirname(__file__)}
    folders.update({_STARTED_IN, os.path.expanduser("~"), *_private.folders, *_sites()})
    named = "|".join(re.escape(folder) for folder in sorted(folders, reverse=True) if folder > "/")
    return re.compile("(?:%s)/[^\\s'\"<>:,;)]*" % named)


def _sites() -> Iterable[str]:
    return [*site.getsitepackages(), *(path for path in sys.path if path.startswith("/"))]


def _base_name(match: re.Match[str]) -> str:
    return os.path.basename(match.group().rstrip("/"))


class _Private:
    """Folders whose names are nobody's business."""

    def __init__(self) -> None:
        self.folders: set[str] = set()


_private = _Private()


def hide(folder: str) -> None:
    """Keep a folder's path out of all texts from now on."""
    _private.folders.add(os.path.abspath(folder))
