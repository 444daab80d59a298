import stat
from pathlib import Path

import pytest

from control_plane.encryption import SealBroken, Sealer, load_or_create_master_key

PLACE = b"secret/scope/key"


def test_what_is_sealed_can_be_opened(sealer: Sealer) -> None:
    sealed = sealer.seal(b"value", PLACE)
    assert b"value" not in sealed
    assert sealer.open(sealed, PLACE) == b"value"
    assert sealer.seal(b"value", PLACE) != sealed


def test_another_place_another_key_or_damage_break_the_seal(sealer: Sealer) -> None:
    sealed = sealer.seal(b"value", PLACE)
    with pytest.raises(SealBroken):
        sealer.open(sealed, b"secret/scope/other")
    with pytest.raises(SealBroken):
        Sealer(b"x" * 32).open(sealed, PLACE)
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(SealBroken):
            sealer.open(bytes(damaged), PLACE)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            sealer.open(sealed[:length], PLACE)


def test_a_master_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 3"):
        Sealer(b"abc")


def test_the_master_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "master-key"
    key = load_or_create_master_key(path)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_master_key(path) == key
    assert list(tmp_path.iterdir()) == [path]


def test_a_master_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master-key"
    load_or_create_master_key(path)
    path.chmod(0o640)
    with pytest.raises(PermissionError, match="chmod 600"):
        load_or_create_master_key(path)


def test_a_file_that_holds_no_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "master-key"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(ValueError, match="does not hold a key"):
        load_or_create_master_key(path)
