"""Regular expressions that operators write: which are taken, and how they are read; pure.

Texts come in pieces, so that an expression is taken only if it is known how long its matches are
and if a text can be told that may still become one: what is left of the syntax are characters,
sets, groups, alternatives, counted repeats and word boundaries. RE2 reads texts with them, in a
time that is linear in the text, whatever the expression (https://github.com/google/re2).

The control plane checks expressions, workers compile them. Python's own parser takes them apart.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any, NamedTuple, Protocol

import re2

# Texts are held back as far as something may still be found.
LONGEST_MATCH = 512
MAX_EXPRESSION_CHARACTERS = 1_000
# Of what RE2 makes of all of a policy.
_MEMORY_BYTES = 4 << 20
_MOST_INSTRUCTIONS = 20_000
_MOST_GROUPS = 50
_BOUNDARIES = {kinds.AT_BOUNDARY: r"\b", kinds.AT_NON_BOUNDARY: r"\B"}
_CATEGORIES = {
    kinds.CATEGORY_DIGIT: r"\d",
    kinds.CATEGORY_NOT_DIGIT: r"\D",
    kinds.CATEGORY_SPACE: r"\s",
    kinds.CATEGORY_NOT_SPACE: r"\S",
    kinds.CATEGORY_WORD: r"\w",
    kinds.CATEGORY_NOT_WORD: r"\W",
}
_REPEATS = {kinds.MAX_REPEAT: "", kinds.MIN_REPEAT: "?"}
_UNKNOWN = {
    kinds.ASSERT: "looks ahead or behind",
    kinds.ASSERT_NOT: "looks ahead or behind",
    kinds.GROUPREF: "refers to a group",
    kinds.GROUPREF_EXISTS: "refers to a group",
    kinds.ATOMIC_GROUP: "has an atomic group",
    kinds.POSSESSIVE_REPEAT: "has a possessive repeat",
}


class PatternRefused(ValueError):
    """An expression cannot be taken; the text, which goes on after a quote of it, says why."""


# What Python's parser makes of a part of an expression: its kind, and what that has.
_Node = tuple[int, Any]


class Match(Protocol):
    """Where an expression matches."""

    def start(self) -> int:
        """Return where it begins."""

    def end(self) -> int:
        """Return where it ends."""


class Pattern(Protocol):
    """A compiled expression of RE2."""

    def search(self, text: str, begin: int) -> Match | None:
        """Return the leftmost match at `begin` or later."""

    def finditer(self, text: str, begin: int) -> Iterator[Match]:
        """Yield the matches at `begin` or later, none of which lies over another."""


class Compiled(NamedTuple):
    """Some expressions.

    Attributes:
        whole: Matches what one of them does.
        beginning: Matches from where on the end of a text may become, with more text, a match; its
            match is empty where nothing does.
    """

    whole: Pattern
    beginning: Pattern


def compile_patterns(
    expressions: Sequence[str], fold: Callable[[str], str] = str.casefold
) -> Compiled:
    """Return some expressions, at least one, ready to be used.

    Args:
        expressions: The expressions.
        fold: Makes of a character what texts have in its place.

    Raises:
        PatternRefused: One cannot be taken.
    """
    parts = [_translate(expression, fold) for expression in expressions]
    whole = "|".join(f"(?:{part.whole})" for part in parts)
    beginning = "|".join(part.beginning for part in parts)
    return Compiled(_compile(whole), _compile(rf"(?:{beginning})\z"))


class _Part(NamedTuple):
    """A part of an expression, in the syntax of RE2, and what matches each beginning of a match."""

    whole: str
    beginning: str


_EMPTY = _Part("", "")


def _translate(expression: str, fold: Callable[[str], str]) -> _Part:
    if len(expression) > MAX_EXPRESSION_CHARACTERS:
        raise PatternRefused(
            f"has {len(expression)} characters; at most {MAX_EXPRESSION_CHARACTERS} are allowed"
        )
    if expression.count("(") > _MOST_GROUPS:
        raise PatternRefused(f"has more than {_MOST_GROUPS} groups; write it with fewer")
    try:
        tree = parser.parse(expression)
    except re.error as error:
        raise PatternRefused(f"cannot be read: {error}") from None
    except OverflowError:
        raise PatternRefused("cannot be read: a number in it is too large") from None
    if tree.state.flags & ~re.UNICODE:
        raise PatternRefused("has flags; leave them out: case never counts")
    part = _Translator(fold).sequence(tree)
    shortest, longest = tree.getwidth()
    if not shortest:
        raise PatternRefused("matches nothing at all, which every text holds; demand a character")
    if longest > LONGEST_MATCH:
        raise PatternRefused(
            f"matches more than {LONGEST_MATCH} characters; give each repeat an upper bound, such "
            "as {1,64} in place of +"
        )
    return part


class _Translator:
    """Writes a parsed expression for RE2."""

    def __init__(self, fold: Callable[[str], str]) -> None:
        self._fold = fold

    def sequence(self, nodes: Iterable[_Node]) -> _Part:
        """Return what nodes that follow one another are."""
        parts = [self._translate(node) for node in nodes]
        whole = "".join(part.whole for part in parts)
        beginning = ""
        for part in reversed(parts):
            # Either it ends in here, or this is there whole and it ends in what follows.
            rest = f"|{part.whole}(?:{beginning})" if beginning else ""
            beginning = f"(?:{part.beginning}){rest}"
        return _Part(whole, beginning)

    def _translate(self, node: _Node) -> _Part:
        kind, value = node
        if kind in _REPEATS:
            return self._repeat(node)
        match kind:
            case kinds.LITERAL:
                return _text(self._fold(chr(value)))
            case kinds.BRANCH:
                return _either([self.sequence(branch) for branch in value[1]])
            case kinds.SUBPATTERN if not value[1] and not value[2]:
                return _either([self.sequence(value[3])])
            case kinds.AT if value in _BOUNDARIES:
                return _Part(_BOUNDARIES[value], "")
        return _one(_set(node))

    def _repeat(self, node: _Node) -> _Part:
        kind, (least, most, nodes) = node
        part = self.sequence(nodes)
        if most is kinds.MAXREPEAT or most > LONGEST_MATCH:
            raise PatternRefused(
                "repeats without a bound, or too often; give each repeat an upper one of at most "
                f"{LONGEST_MATCH}, such as {{1,64}} in place of +"
            )
        if not most:
            return _EMPTY
        whole = f"(?:{part.whole}){{{least},{most}}}{_REPEATS[kind]}"
        return _Part(whole, f"(?:{part.whole}){{0,{most - 1}}}(?:{part.beginning})")


def _either(parts: Sequence[_Part]) -> _Part:
    whole = "|".join(part.whole for part in parts)
    return _Part(f"(?:{whole})", "|".join(part.beginning for part in parts))


def _text(text: str) -> _Part:
    part = _EMPTY
    for character in reversed(text):
        one = _escape(ord(character))
        part = _Part(one + part.whole, f"(?:{one}(?:{part.beginning}))?")
    return part


def _set(node: _Node) -> str:
    """Return what matches one character."""
    kind, value = node
    match kind:
        case kinds.NOT_LITERAL:
            return f"[^{_escape(value)}]"
        case kinds.ANY:
            return "."
        case kinds.IN:
            return f"[{''.join(map(_member, value))}]"
    raise PatternRefused(
        f"{_UNKNOWN.get(kind, 'has an anchor, or flags of a group')}, which cannot be told of "
        "texts that come in pieces; leave that out"
    )


def _member(node: _Node) -> str:
    kind, value = node
    match kind:
        case kinds.NEGATE:
            return "^"
        case kinds.RANGE:
            return f"{_escape(value[0])}-{_escape(value[1])}"
        case kinds.CATEGORY:
            return _CATEGORIES[value]
    return _escape(value)


def _one(whole: str) -> _Part:
    return _Part(whole, f"{whole}?")


def _escape(code: int) -> str:
    return f"\\x{{{code:x}}}"


def _compile(text: str) -> Pattern:
    options = re2.Options()
    options.case_sensitive = False
    options.dot_nl = True
    options.log_errors = False
    options.max_mem = _MEMORY_BYTES
    try:
        pattern = re2.compile(text, options)
    except re2.error as error:
        reason = error.args[0].decode(errors="replace") if error.args else ""
        raise PatternRefused(f"is too large: RE2 says '{reason[:100]}'") from None
    if pattern.programsize > _MOST_INSTRUCTIONS:
        raise PatternRefused("is too large; split it, or repeat less often")
    compiled: Pattern = pattern
    return compiled
