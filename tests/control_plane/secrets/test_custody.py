from pathlib import Path

import pytest

from modelplane.control_plane.clock import system_clock
from modelplane.control_plane.secrets.custody import ensure_master_key
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys, local_key, opened_keyring
from modelplane.control_plane.secrets.signing import Signer, ensure_signing_key
from modelplane.control_plane.settings import Settings
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.secrets.signing_keys import load_signing_keys
from tests.control_plane.secrets.test_credentials import keep_secret

KEY = b"k" * 32
KEY_ID = local_key(KEY).id


@pytest.fixture
async def used(database: Database) -> Database:
    sealer = Sealer(FixedKeys(KEY))
    await keep_secret(database, sealer, "scope", "key", b"value")
    await ensure_signing_key(database, sealer, system_clock)
    return database


async def test_a_lost_key_is_refused_by_its_name_and_no_other_is_made(
    used: Database, tmp_path: Path
) -> None:
    async with opened_keyring(Settings(data_dir=str(tmp_path))) as keyring:
        with pytest.raises(ValueError, match=f"2 values .* {KEY_ID}, .*Put the file .* back"):
            await ensure_master_key(used, keyring)
    assert not (tmp_path / "master-key").exists()
    with pytest.raises(ValueError, match=f"MODELPLANE_LOST_MASTER_KEYS={KEY_ID}"):
        await ensure_master_key(used, FixedKeys(b"x" * 32))


async def test_the_key_that_sealed_everything_is_enough(used: Database) -> None:
    await ensure_master_key(used, FixedKeys(b"new" + bytes(29), KEY))


async def test_a_database_without_sealed_values_gets_its_key(
    database: Database, tmp_path: Path
) -> None:
    async with opened_keyring(Settings(data_dir=str(tmp_path))) as keyring:
        await ensure_master_key(database, keyring)
        assert len(keyring.master_keys()) == 1


async def test_a_key_that_was_given_up_is_replaced_and_logins_work_again(
    used: Database, tmp_path: Path
) -> None:
    async with opened_keyring(Settings(data_dir=str(tmp_path))) as keyring:
        await ensure_master_key(used, keyring, [KEY_ID])
        sealer = Sealer(keyring)
        await ensure_signing_key(used, sealer, system_clock, [KEY_ID])
        async with used.read() as session:
            keys = await load_signing_keys(session)
        assert len(keys) == 1
        assert await Signer(sealer, system_clock).sign({}, keys)
        # The next start finds it done.
        await ensure_signing_key(used, sealer, system_clock, [KEY_ID])
        async with used.read() as session:
            assert await load_signing_keys(session) == keys
