"""Texts that name nobody: lines as orders, configuration files and source code have them.

They are made by chance, and the same ones each time: what detectors find in them can be counted.
"""

import re
from collections.abc import Iterator, Mapping
from random import Random

LINES = 10_000
_SEED = 20261129
# In braces: `9` is any digit, `7` one that is not 0, `x` a hexadecimal one, and `A` a letter.
_PLACES = {
    "9": "0123456789",
    "7": "123456789",
    "x": "0123456789abcdef",
    "A": "ABCDEFGHJKLMNPQRSTUVWXYZ",
}
_BLANKS = re.compile(r"\{([^}]*)\}")
ORDERS = (
    "Your order {79999999} of 2026-11-{79} is on its way",
    "order no. {7999999999}: 2 items",
    "Invoice INV-2026-{999999}",
    "PO {7999999}/{99}, due 12/01/2026",
    "tracking number 1Z{999A99999999999999}",
    "Parcel {799999999999} was handed over",
    "Order # {799-9999999-9999999}",
    "SKU {79999-9999}, 3 pieces at 19.99",
    "ticket {799999999}",
    "EAN 40{99999999999}, ISBN 978-{7-9999-9999-7}",
    "reference {7999 9999 9999 9999}",
    "reference {7999999999999999}",
    "customer no. {799999}, order {79999-99}",
)
CONFIGURATION = (
    "port: {79999}",
    "timeout_ms = {799999}",
    "image: registry.example/app@sha256:{" + "x" * 64 + "}",
    "id: {xxxxxxxx-xxxx-}4{xxx-}8{xxx-xxxxxxxxxxxx}",
    'version = "{7.99.9}-2026{9999}"',
    "address = 10.{99.99.79}:{7999}",
    "created_at: 2026-1{9}-2{9}T1{9}:5{9}:5{9}Z",
    "epoch_ms: 17{99999999999}",
    "max_bytes: {7999999999}",
    "aws_account_id: {799999999999}",
    "project_number: {799999999999}",
    "serial = {xx:xx:xx:xx:xx:xx:xx:xx}",
)
CODE = (
    "SEED = {79999999}",
    "mask = 0x{xxxxxxxxxxxxxxxx}",
    "assert fib({79}) == {79999999999}",
    "ratio = 0.{9999999999999999}",
    "buffer = data[{799}:{7999}]",
    "for value in ({7999}, {79999}, {799999}, {7999999}):",
    "user_{799999999} = load({7999999})",
    "# see https://example.com/issues/{7999}#issuecomment-{7999999999}",
    "git clone git@example.com:team/app-{99}.git",
    "@app.route('/v{7}/items/<int:{99}>')",
    "table = {7999}, -{7999}, {79999}, -{79999}, {7999}",
    "time.sleep({7.99})  # {7999999} us",
)
KINDS: Mapping[str, tuple[str, ...]] = {
    "order numbers": ORDERS,
    "configuration": CONFIGURATION,
    "source code": CODE,
}


def lines_of(kind: str) -> Iterator[str]:
    """Yield `LINES` lines of a kind, each template in its turn."""
    random = Random(f"{_SEED} {kind}")
    templates = KINDS[kind]
    for number in range(LINES):
        yield _fill(templates[number % len(templates)], random)


def _fill(template: str, random: Random) -> str:
    def fill(blank: re.Match[str]) -> str:
        return "".join(random.choice(_PLACES.get(place, place)) for place in blank[1])

    return _BLANKS.sub(fill, template)
