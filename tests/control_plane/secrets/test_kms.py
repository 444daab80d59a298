import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelplane.control_plane.errors import StoreUnavailable
from modelplane.control_plane.secrets.encryption import SealBroken, Sealer, wrapped_by
from modelplane.control_plane.secrets.keyring import DeploymentKeys, opened_keyring
from modelplane.control_plane.settings import Settings
from tests.emulators.amazon_bedrock.signature import KEY
from tests.emulators.amazon_json import environment
from tests.emulators.amazon_kms import ARN, OTHER_ARN, KmsEmulator

PLACE = b"secret/scope/key"


@pytest.fixture
async def kms(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[KmsEmulator]:
    async with KmsEmulator() as emulator:
        for name, value in environment("KMS", emulator.origin).items():
            monkeypatch.setenv(name, value)
        yield emulator


@pytest.fixture
async def keyring(kms: KmsEmulator, tmp_path: Path) -> AsyncIterator[DeploymentKeys]:
    del kms
    async with opened_keyring(Settings(data_dir=str(tmp_path), master_key_kms=ARN)) as opened:
        yield opened
        assert opened.file is None


async def test_data_keys_are_wrapped_by_kms_for_their_place(
    keyring: DeploymentKeys, kms: KmsEmulator
) -> None:
    sealed = await Sealer(keyring).seal(b"value", PLACE)
    assert wrapped_by(sealed) == ARN
    body = kms.requests[0].body
    assert body["EncryptionContext"] == {"modelplane": "2/secret/scope/key"}
    # KMS sees a data key, and not the secret.
    assert b"value" not in kms.requests[0].raw
    assert await Sealer(keyring).open(sealed, PLACE) == b"value"
    with pytest.raises(SealBroken):
        await Sealer(keyring).open(sealed, b"secret/scope/other")


async def test_a_restart_costs_one_call_for_each_secret(
    keyring: DeploymentKeys, kms: KmsEmulator, tmp_path: Path
) -> None:
    places = [b"place/%d" % number for number in range(100)]
    sealed = [(await Sealer(keyring).seal(b"value", place), place) for place in places]
    kms.operations.clear()
    settings = Settings(data_dir=str(tmp_path), master_key_kms=ARN)
    async with opened_keyring(settings) as restarted:
        for _ in range(2):
            assert await Sealer(restarted).open_all(sealed) == [b"value"] * 100
    assert kms.operations == ["Decrypt"] * 100


async def test_a_key_of_kms_is_replaced_by_another(keyring: DeploymentKeys, tmp_path: Path) -> None:
    sealed = await Sealer(keyring).seal(b"value", PLACE)
    both = Settings(data_dir=str(tmp_path), master_key_kms=f"{OTHER_ARN}, {ARN}")
    async with opened_keyring(both) as opened:
        rewrapped = await Sealer(opened).rewrap(sealed, PLACE)
    assert rewrapped is not None
    assert wrapped_by(rewrapped) == OTHER_ARN
    only = Settings(data_dir=str(tmp_path), master_key_kms=OTHER_ARN)
    async with opened_keyring(only) as opened:
        assert await Sealer(opened).open(rewrapped, PLACE) == b"value"
        with pytest.raises(SealBroken):
            await Sealer(opened).open(sealed, PLACE)


async def test_a_refusal_is_no_broken_seal_and_what_was_opened_stays_open(
    keyring: DeploymentKeys, kms: KmsEmulator
) -> None:
    sealed = await Sealer(keyring).seal(b"value", PLACE)
    for code in ("AccessDeniedException", "DisabledException", "KMSInvalidStateException"):
        kms.refused = code
        with pytest.raises(StoreUnavailable, match=code):
            await Sealer(keyring).seal(b"value", PLACE)
    assert await Sealer(keyring).open(sealed, PLACE) == b"value"


async def test_a_wrong_identity_gets_nothing(
    kms: KmsEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * len(KEY.secret))
    settings = Settings(data_dir=str(tmp_path), master_key_kms=ARN)
    async with opened_keyring(settings) as opened:
        with pytest.raises(StoreUnavailable, match="refuses"):
            await Sealer(opened).seal(b"value", PLACE)
    assert kms.operations == []


async def test_kms_that_is_away_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with KmsEmulator() as emulator:
        origin = emulator.origin
    for name, value in environment("KMS", origin).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    settings = Settings(data_dir=str(tmp_path), master_key_kms=ARN)
    async with opened_keyring(settings) as opened, asyncio.timeout(60):
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await Sealer(opened).seal(b"value", PLACE)


@pytest.mark.parametrize("arn", ["key/1", "arn:aws:s3:::bucket", ARN + "x" * 255])
async def test_what_is_no_key_is_refused(tmp_path: Path, arn: str) -> None:
    with pytest.raises(ValueError, match="must hold ARNs of KMS keys"):
        async with opened_keyring(Settings(data_dir=str(tmp_path), master_key_kms=arn)):
            pass
