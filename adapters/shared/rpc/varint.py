"""The numbers of encoded Protocol Buffers messages: seven bits to a byte, the lowest first; pure.

Source: https://protobuf.dev/programming-guides/encoding/#varints. For what is encoded by hand,
since a message object would cost more.
"""

SEVEN_BITS = 0x7F
MORE = 0x80
_SMALL = tuple(bytes((value,)) for value in range(MORE))


def encode_varint(value: int) -> bytes:
    """Return a number that is not negative as messages hold it."""
    if value <= SEVEN_BITS:
        return _SMALL[value]
    if value >> 14 == 0:
        return bytes((value & SEVEN_BITS | MORE, value >> 7))
    encoded = bytearray()
    while value > SEVEN_BITS:
        encoded.append(value & SEVEN_BITS | MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
