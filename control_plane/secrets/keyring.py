"""Where a deployment's master keys are: in settings, in a file, or in AWS KMS.

The file is read again when it has changed, so that a key made by `modelplane keys rotate` is in
use at once, in every process that reads the same file.

Before: `__main__`, `keys`. After: `encryption`, `key_file`, `kms`.
"""

import base64
import binascii
import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

from modelplane.adapters.shared.telemetry import log_fields
from modelplane.control_plane.secrets.encryption import LocalKey, MasterKey
from modelplane.control_plane.secrets.key_file import KeyFile
from modelplane.control_plane.settings import Settings

_log = logging.getLogger(__name__)

FILE_NAME = "master-key"
_ID_DIGITS = 16


class FixedKeys:
    """Master keys that never change, the current one first."""

    def __init__(self, *keys: bytes) -> None:
        """Keep the keys.

        Raises:
            ValueError: One is not 32 bytes long.
        """
        self._keys = [local_key(key) for key in keys]

    def master_keys(self) -> Sequence[MasterKey]:
        """Return all keys."""
        return self._keys

    def make(self) -> None:
        """Leave it at the keys that were given."""


class DeploymentKeys:
    """All master keys of a deployment: those in KMS, those in settings, those in the file."""

    def __init__(
        self, kms: Sequence[MasterKey], fixed: Sequence[MasterKey], file: KeyFile | None
    ) -> None:
        """Keep the keys; those given first come before the others.

        Args:
            kms: Keys in KMS.
            fixed: Keys from the settings.
            file: The key file; None: there is none.
        """
        self._before = [*kms, *fixed]
        self._file = file
        self._in_file: list[MasterKey] = []
        self._mark: object = None
        if file is not None and file.exists():
            self._read_file()

    def master_keys(self) -> Sequence[MasterKey]:
        """Return all keys, the current one first."""
        if self._file is not None and self._file.mark() != self._mark:
            try:
                self._read_file()
            except (OSError, ValueError) as error:
                # What was read before goes on working until an operator has put it right.
                _log.error("cannot read the master keys", extra=log_fields(error=str(error)))
        return [*self._before, *self._in_file]

    @property
    def file(self) -> KeyFile | None:
        """The file that holds the current key; None: it is elsewhere."""
        return None if self._before else self._file

    def make(self) -> None:
        """Make the key file with one new key, unless it is there.

        Raises:
            OSError: It cannot be written.
        """
        if self._file is not None:
            self._file.create()
            self._read_file()

    def _read_file(self) -> None:
        if self._file is None:
            return
        # Taken first: a change during the reading shows the next time.
        mark = self._file.mark()
        self._in_file = [local_key(key) for key in self._file.read()]
        self._mark = mark


@asynccontextmanager
async def opened_keyring(settings: Settings) -> AsyncIterator[DeploymentKeys]:
    """Yield the master keys that the settings name and the key file holds: perhaps none yet.

    Raises:
        ValueError: A setting or the file holds no key.
        OSError: The file cannot be used.
    """
    fixed = [local_key(key) for key in parse_keys(settings.master_key)]
    async with AsyncExitStack() as stack:
        arns = [arn.strip() for arn in settings.master_key_kms.split(",") if arn.strip()]
        kms = [await stack.enter_async_context(_opened_kms(arn)) for arn in arns]
        file = KeyFile(Path(settings.data_dir) / FILE_NAME)
        # A key file that is there still opens what it has sealed; else none is to be made beside
        # the keys that the settings name.
        needless = (fixed or kms) and not file.exists()
        yield DeploymentKeys(kms, fixed, None if needless else file)


def _opened_kms(arn: str) -> AbstractAsyncContextManager[MasterKey]:
    from modelplane.control_plane.secrets.kms import opened_kms  # noqa: PLC0415 - slow to load, and rarely needed

    return opened_kms(arn)


def local_key(key: bytes) -> LocalKey:
    """Return a master key with the identifier that follows from it."""
    digest = hashlib.sha256(b"modelplane master key " + key).hexdigest()
    return LocalKey(digest[:_ID_DIGITS], key)


def parse_keys(text: str) -> list[bytes]:
    """Return the keys in a list of base64 with commas.

    Raises:
        ValueError: It is not base64.
    """
    try:
        return [
            base64.b64decode(part.strip(), validate=True)
            for part in text.split(",")
            if part.strip()
        ]
    except binascii.Error:
        raise ValueError("MODELPLANE_MASTER_KEY must be base64, several with commas.") from None
