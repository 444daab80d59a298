"""The prices that costs are computed from: administrators set them, everybody reads them.

Models of the catalogue that say what they cost do so until somebody sets a price of them. Before:
`servicer`. After: `store.usage.prices`.
"""

import re
from collections.abc import Iterable, Sequence

from modelserving.v1.usage_service_pb2 import Price as Told

from modelplane.adapters.registries.catalogue import Catalogue
from modelplane.adapters.registries.foundation_model import currency_of
from modelplane.control_plane.access import require_admin
from modelplane.control_plane.errors import AlreadyExists, InvalidParameter
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.store.database import Database, is_storable
from modelplane.control_plane.store.usage.ledger import HOSTED
from modelplane.control_plane.store.usage.periods import HOUR_MS
from modelplane.control_plane.store.usage.prices import (
    PRICE_DECIMALS,
    Price,
    has_catalogue_prices,
    read_prices,
    replace_catalogue_prices,
    replace_prices,
)

MAX_PRICES = 1_000
_LONGEST = 200
_NUMBER = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?")
_CURRENCY = re.compile(r"[A-Za-z]{1,10}")
# Times are exact up to here in a double, and nobody needs later ones.
_LAST_MS = 253_402_300_800_000


# Another process that starts may store the same.
_ATTEMPTS = 3


class UsagePrices:
    """The prices of models' tokens.

    Args:
        database: Where they are stored.
        catalogue: Whose models say what they cost where nothing else is set.
    """

    def __init__(self, database: Database, catalogue: Catalogue) -> None:
        self._database = database
        self._catalogue = [
            Price(
                provider=HOSTED,
                model=model.entity,
                from_ms=0,
                input=_number(model.input_price or "0", "input_price"),
                output=_number(model.price or "0", "price"),
                cached_input=None,
                currency=currency_of(model),
            )
            for model in catalogue
            if model.price or model.input_price
        ]

    async def reconcile(self) -> None:
        """Let the catalogue's prices count, and those no more that it has not any more.

        Raises:
            StoreUnavailable: The database does not answer.
        """
        async with self._database.read() as session:
            if await has_catalogue_prices(session, self._catalogue):
                return
        for attempt in range(_ATTEMPTS):
            try:
                async with self._database.write() as transaction:
                    await replace_catalogue_prices(transaction, self._catalogue)
            except AlreadyExists:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                return

    async def read(self) -> list[Told]:
        """Return all prices that are set, by provider, model and time."""
        async with self._database.read() as session:
            stored = await read_prices(session)
        return [_told(price) for price in stored.set_prices]

    async def replace(self, principal: Principal, prices: Sequence[Told]) -> list[Told]:
        """Replace all prices, and return them as they are now.

        Raises:
            PermissionDenied: The principal is no administrator.
            InvalidParameter: A price is none, or does not go with another.
        """
        require_admin(principal)
        if len(prices) > MAX_PRICES:
            raise InvalidParameter(f"'prices' may have at most {MAX_PRICES}.")
        new = [_parse(price, f"prices[{place}]") for place, price in enumerate(prices)]
        _check_together(new)
        async with self._database.write() as transaction:
            await replace_prices(transaction, new, self._catalogue)
        ordered = sorted(new, key=lambda price: (price.provider, price.model, price.from_ms))
        return [_told(price) for price in ordered]


def _check_together(prices: Iterable[Price]) -> None:
    seen: set[tuple[str, str, int]] = set()
    currency = None
    for place, price in enumerate(prices):
        key = price.provider, price.model, price.from_ms
        if key in seen:
            raise InvalidParameter(
                f"prices[{place}]: there is another price of this model with this 'from_time'; "
                "keep one."
            )
        seen.add(key)
        currency = currency or price.currency
        if price.currency != currency:
            raise InvalidParameter(
                f"prices[{place}].currency must be {currency}, as of those before: costs are added "
                "up."
            )


def _parse(price: Told, place: str) -> Price:
    for name in ("provider", "model"):
        _check_text(getattr(price, name), f"{place}.{name}")
    if not _CURRENCY.fullmatch(price.currency):
        raise InvalidParameter(f"{place}.currency must be a word of letters, such as USD.")
    cached = None
    if price.HasField("cached_input_per_million"):
        cached = _number(price.cached_input_per_million, f"{place}.cached_input_per_million")
    return Price(
        provider=price.provider,
        model=price.model,
        from_ms=_time(price.from_time, f"{place}.from_time"),
        input=_number(price.input_per_million, f"{place}.input_per_million"),
        output=_number(price.output_per_million, f"{place}.output_per_million"),
        cached_input=cached,
        currency=price.currency,
    )


def _check_text(text: str, place: str) -> None:
    if not text or len(text) > _LONGEST or not text.isprintable() or not is_storable(text):
        raise InvalidParameter(f"{place} must have 1 to {_LONGEST} printable characters.")


def _number(text: str, place: str) -> int:
    """Return a price in billionths."""
    found = _NUMBER.fullmatch(text)
    if found is None or not text.isascii():
        raise InvalidParameter(
            f'{place} must be a number as a text, such as "2.50": up to nine digits, and up to '
            f"{PRICE_DECIMALS} decimals."
        )
    whole, decimals = found[1], found[2] or ""
    return int(whole + decimals.ljust(PRICE_DECIMALS, "0"))


def _time(value: float, place: str) -> int:
    if not 0 <= value <= _LAST_MS or value % HOUR_MS:
        hour = 0 if not 0 <= value <= _LAST_MS else int(value // HOUR_MS) * HOUR_MS
        raise InvalidParameter(
            f"{place} must be the start of an hour (UTC) in milliseconds since the epoch, such as "
            f"{hour}."
        )
    return int(value)


def _told(price: Price) -> Told:
    told = Told(
        provider=price.provider,
        model=price.model,
        input_per_million=_text(price.input),
        output_per_million=_text(price.output),
        currency=price.currency,
    )
    if price.cached_input is not None:
        told.cached_input_per_million = _text(price.cached_input)
    if price.from_ms:
        told.from_time = price.from_ms
    return told


def _text(price: int) -> str:
    """Return a price as it was given, without zeros at its end."""
    whole, rest = divmod(price, 10**PRICE_DECIMALS)
    decimals = f"{rest:0{PRICE_DECIMALS}}".rstrip("0")
    return f"{whole}.{decimals}" if decimals else f"{whole}"
