"""What numbers of persons look like, kind by kind, and what has to hold of them; pure.

Sources: ISO/IEC 7812 and its check digit for cards, https://www.ssa.gov/employer/randomization.html
for social security numbers, the North American Numbering Plan and E.164 for telephones. Which kinds
need a word before them follows Presidio: without one any long number would be an account.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from modelplane.data_plane.guardrails.detector import CONTEXT

# No pattern takes more characters.
LONGEST = 48
_NO_DIGITS = str.maketrans("", "", " ().+-")
_WORDS = re.compile(r"[a-z]+")
# Words before a number that may say what it is.
_WORDS_BEFORE = 5
_SAMPLE_SSNS = frozenset({"123456789", "078051120", "219099999"})
_PHONE_DIGITS = range(9, 16)
_NATIONAL_DIGITS = range(7, 13)
_CARD_DIGITS = range(13, 20)
# The sum of the digits of twice a digit.
_DOUBLED = str.maketrans("0123456789", "0246813579")
_ZERO = ord("0")


@dataclass(frozen=True, slots=True)
class Kind:
    """One way in which one kind of number is written.

    Attributes:
        entity: The kind.
        pattern: The form; takes at most `LONGEST` characters.
        checks: Tells whether digits can be such a number.
        words: Words of which one must be before the number; None: none need be.
    """

    entity: str
    pattern: re.Pattern[str]
    checks: Callable[[str], bool] = field(default=bool)
    words: re.Pattern[str] | None = None

    def accepts(self, found: str, text: str, start: int) -> bool:
        """Tell whether a match is one.

        Args:
            found: What was matched.
            text: Text that holds it.
            start: Where it begins.
        """
        if not self.checks(only_digits(found)):
            return False
        before = words_before(text, start, start)[-_WORDS_BEFORE:]
        return self.may_be_named(before)

    def may_be_named(self, before: Iterable[str]) -> bool:
        """Tell whether one of some words says that a number is of this kind."""
        return self.words is None or any(map(self.words.fullmatch, before))


def only_digits(text: str) -> str:
    """Return the digits of a number."""
    return text.translate(_NO_DIGITS)


def words_before(text: str, start: int, end: int) -> list[str]:
    """Return the words that may say what a number is which begins between two places."""
    found: list[str] = _WORDS.findall(text, max(0, start - CONTEXT), end)
    return found


def _is_card(digits: str) -> bool:
    """Tell whether the last digit is the check digit of the others, after Luhn."""
    # Sums of bytes: of a table of numbers, every group of four comes here.
    weighed = digits[::-2] + digits[-2::-2].translate(_DOUBLED)
    if (sum(weighed.encode()) - _ZERO * len(digits)) % 10:
        return False
    # A time in milliseconds has the length of an old card.
    is_time = len(digits) == _CARD_DIGITS.start and digits[0] == "1"
    return len(digits) in _CARD_DIGITS and not is_time and len(set(digits)) > 1


def _is_ssn(digits: str) -> bool:
    """Tell whether area, group and serial number can have been given to anybody."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return False
    return digits not in _SAMPLE_SSNS and len(set(digits)) > 1


def _is_phone(digits: str) -> bool:
    return len(digits) in _PHONE_DIGITS and len(set(digits)) > 1


def _is_national_phone(digits: str) -> bool:
    return len(digits) in _NATIONAL_DIGITS and len(set(digits)) > 1


def _form(pattern: str) -> re.Pattern[str]:
    """Return a pattern with nothing of a word or a longer number at its ends, but an extension."""
    end = "(?=x[0-9])|(?![a-z0-9_])(?![.-][0-9])"
    return re.compile(rf"(?<![a-z0-9_])(?<![0-9][.-])(?:{pattern})(?:{end})")


_CARD_GROUPS = "[3-6][0-9]{3}[ -]?[0-9]{3,4}[ -]?[0-9]{3,4}[ -]?[0-9]{3,5}"
_SSN_WORDS = re.compile("ssns?|social|taxpayer|itin")
_PHONE_WORDS = re.compile(
    "(?:phone|telephone|mobile|cellphone|fax|whatsapp)[a-z]*|tel|cell|mob|call|dial|ring|desk|sms"
)
_ACCOUNT_WORDS = re.compile(
    "(?:account|bankaccount)[a-z]*|acct|bank|banking|checking|savings|debit|deposit|routing|wire"
)
# North American numbers; neither area nor exchange begins with 0 or 1.
_NANP = r"(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\)[ .-]?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
# Nor does a group of a longer number, such as `4271 0046 5166 6515`, begin one.
_INTERNATIONAL = (
    r"(?:\+[1-9][0-9]{0,2}[ .-]?|(?<![0-9] )00[1-9][0-9]{0,2}[ .-])(?:\([0-9]{1,4}\)[ .-]?)?"
    r"[0-9]{1,4}(?:[ .-]?[0-9]{2,4}){1,4}"
)
# In groups, as they are anywhere; but no date.
_NATIONAL = (
    r"(?!(?:19|20)[0-9]{2}[.-][0-9]{2}[.-][0-9]{2})(?![0-9]{2}[.-][0-9]{2}[.-](?:19|20)[0-9]{2})"
    r"\(?[0-9]{2,4}\)?(?:[ .-]?[0-9]{2,4}){1,4}"
)

# Where two of them lie over one another, the longer one counts, else the one that comes first.
KINDS = (
    Kind("CREDIT_CARD", _form(_CARD_GROUPS), _is_card),
    Kind("CREDIT_CARD", _form("[1-6][0-9]{12,18}"), _is_card),
    Kind("US_SSN", _form(r"[0-9]{3}([ .-])[0-9]{2}\1[0-9]{4}"), _is_ssn),
    Kind("US_SSN", _form("[0-9]{9}"), _is_ssn, _SSN_WORDS),
    Kind("PHONE_NUMBER", _form(_NANP), _is_phone),
    Kind("PHONE_NUMBER", _form(_INTERNATIONAL), _is_phone),
    Kind("PHONE_NUMBER", _form(_NATIONAL), _is_national_phone, _PHONE_WORDS),
    Kind("US_BANK_NUMBER", _form("[0-9]{8,17}"), bool, _ACCOUNT_WORDS),
)
