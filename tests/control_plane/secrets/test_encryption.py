import pytest

from modelplane.control_plane.secrets.encryption import SealBroken, Sealer, wrapped_by
from modelplane.control_plane.secrets.keyring import FixedKeys

PLACE = b"secret/scope/key"
OLD, NEW = b"o" * 32, b"n" * 32
# Sealed for PLACE with the key OLD by the first release, which named no key.
UNNAMED = bytes.fromhex(
    "012be92a33b81d2e138d2ae401dc316573a03597e5c7b9b6af261b21cae81797"
    "8e62f416f9f21d0ed9943208709a9100aa05721a4ca411d049e30a84c4e69377"
    "0cf3e154449d794f0ce1fc4db7cd95637074f099b12c1f42be31ee9e2e87"
)


async def test_what_is_sealed_can_be_opened(sealer: Sealer) -> None:
    sealed = await sealer.seal(b"value", PLACE)
    assert b"value" not in sealed
    assert await sealer.open(sealed, PLACE) == b"value"
    assert await sealer.seal(b"value", PLACE) != sealed


async def test_another_place_another_key_or_damage_break_the_seal(sealer: Sealer) -> None:
    sealed = await sealer.seal(b"value", PLACE)
    with pytest.raises(SealBroken):
        await sealer.open(sealed, b"secret/scope/other")
    with pytest.raises(SealBroken):
        await Sealer(FixedKeys(b"x" * 32)).open(sealed, PLACE)
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(SealBroken):
            await sealer.open(bytes(damaged), PLACE)
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            await sealer.open(sealed[:length], PLACE)


async def test_many_are_opened_at_once_and_a_broken_one_does_not_hide_the_others(
    sealer: Sealer,
) -> None:
    sealed = await sealer.seal(b"value", PLACE)
    opened = await sealer.open_all([(sealed, PLACE), (sealed, b"elsewhere")])
    assert opened[0] == b"value"
    assert isinstance(opened[1], SealBroken)


async def test_a_new_key_opens_after_wrapping_again_and_the_old_one_no_longer_does() -> None:
    old, both = Sealer(FixedKeys(OLD)), Sealer(FixedKeys(NEW, OLD))
    sealed = await old.seal(b"value", PLACE)
    assert await both.open(sealed, PLACE) == b"value"
    rewrapped = await both.rewrap(sealed, PLACE)
    assert rewrapped is not None
    assert wrapped_by(rewrapped) != wrapped_by(sealed)
    assert await Sealer(FixedKeys(NEW)).open(rewrapped, PLACE) == b"value"
    with pytest.raises(SealBroken):
        await old.open(rewrapped, PLACE)
    assert await both.rewrap(rewrapped, PLACE) is None
    assert [both.is_current(sealed), both.is_current(rewrapped)] == [False, True]


async def test_values_of_the_first_releases_are_opened_and_wrapped_by_name() -> None:
    both = Sealer(FixedKeys(NEW, OLD))
    assert wrapped_by(UNNAMED) == ""
    assert await both.open(UNNAMED, PLACE) == b"value"
    rewrapped = await both.rewrap(UNNAMED, PLACE)
    assert rewrapped is not None
    assert await Sealer(FixedKeys(NEW)).open(rewrapped, PLACE) == b"value"
    for length in range(len(UNNAMED)):
        with pytest.raises(SealBroken):
            await both.open(UNNAMED[:length], PLACE)


async def test_the_name_of_a_key_does_not_tell_the_key(sealer: Sealer) -> None:
    name = wrapped_by(await sealer.seal(b"value", PLACE))
    assert len(name) == 16
    assert (b"k" * 8).hex() not in name
    assert wrapped_by(b"") == wrapped_by(b"\x07damage") == ""


def test_a_master_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32 bytes, not 3"):
        FixedKeys(b"abc")
