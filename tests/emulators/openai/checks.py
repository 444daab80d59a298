"""Building blocks of request schemas: each check raises the ApiError that the real API answers.

`schema` combines them into the fields of each task.
"""

from collections.abc import Callable, Collection, Mapping

from tests.emulators.openai.errors import ApiError

Check = Callable[[str, object], None]


def _named(value: object) -> str:
    names: list[tuple[type, str]] = [
        (bool, "a boolean"),
        (int, "an integer"),
        (float, "a decimal number"),
        (str, "a string"),
        (list, "an array"),
        (dict, "an object"),
    ]
    return next((name for cls, name in names if isinstance(value, cls)), "null")


def wrong_type(path: str, expected: str, value: object) -> ApiError:
    """Return the refusal of a value whose JSON type is wrong."""
    message = f"Invalid type for '{path}': expected {expected}, but got {_named(value)} instead."
    return ApiError(message, param=path, code="invalid_type")


def invalid(path: str, reason: str, code: str = "invalid_value") -> ApiError:
    """Return the refusal of a value of the right type that is not acceptable."""
    return ApiError(f"Invalid '{path}': {reason}.", param=path, code=code)


def string(path: str, value: object) -> None:
    """Accept a string."""
    if not isinstance(value, str):
        raise wrong_type(path, "a string", value)


def boolean(path: str, value: object) -> None:
    """Accept true or false."""
    if not isinstance(value, bool):
        raise wrong_type(path, "a boolean", value)


def anything(_path: str, _value: object) -> None:
    """Accept every value."""


def number(lowest: float, highest: float) -> Check:
    """Accept a number between two limits."""

    def check(path: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(path, "a decimal number", value)
        if value < lowest:
            raise invalid(
                path, f"expected a value >= {lowest}, but got {value}", "decimal_below_min_value"
            )
        if value > highest:
            raise invalid(
                path, f"expected a value <= {highest}, but got {value}", "decimal_above_max_value"
            )

    return check


def integer(lowest: float, highest: float = 2**63 - 1) -> Check:
    """Accept an integer between two limits."""

    def check(path: str, value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(path, "an integer", value)
        if value < lowest:
            raise invalid(
                path, f"expected a value >= {lowest}, but got {value}", "integer_below_min_value"
            )
        if value > highest:
            raise invalid(
                path, f"expected a value <= {highest}, but got {value}", "integer_above_max_value"
            )

    return check


def choice(*values: str) -> Check:
    """Accept one of some strings."""

    def check(path: str, value: object) -> None:
        string(path, value)
        if value not in values:
            supported = ", ".join(f"'{item}'" for item in values)
            raise ApiError(
                f"Invalid value: '{value}'. Supported values are: {supported}.",
                param=path,
                code="invalid_value",
            )

    return check


def array(item: Check, shortest: int = 0, longest: int = 100_000) -> Check:
    """Accept a list of a length between two limits, whose items all pass `item`."""

    def check(path: str, value: object) -> None:
        if not isinstance(value, list):
            raise wrong_type(path, "an array", value)
        if len(value) < shortest:
            raise invalid(path, f"expected at least {shortest} items", "empty_array")
        if len(value) > longest:
            raise invalid(path, f"expected at most {longest} items", "array_above_max_length")
        for index, element in enumerate(value):
            item(f"{path}[{index}]", element)

    return check


def mapping(fields: Mapping[str, Check], required: Collection[str] = ()) -> Check:
    """Accept an object with known fields only."""

    def check(path: str, value: object) -> None:
        if not isinstance(value, dict):
            raise wrong_type(path, "an object", value)
        for name in required:
            if name not in value:
                raise missing(f"{path}.{name}")
        for name, element in value.items():
            if name not in fields:
                message = f"Unknown parameter: '{path}.{name}'."
                raise ApiError(message, param=f"{path}.{name}", code="unknown_parameter")
            fields[name](f"{path}.{name}", element)

    return check


def missing(path: str) -> ApiError:
    """Return the refusal of an absent required field."""
    message = f"Missing required parameter: '{path}'."
    return ApiError(message, param=path, code="missing_required_parameter")


def nullable(check: Check) -> Check:
    """Accept null, or what `check` accepts."""

    def check_unless_null(path: str, value: object) -> None:
        if value is not None:
            check(path, value)

    return check_unless_null


def either(by_type: Mapping[type, Check], expected: str) -> Check:
    """Choose the check by the value's JSON type."""

    def check(path: str, value: object) -> None:
        chosen = by_type.get(type(value))
        if chosen is None:
            raise wrong_type(path, expected, value)
        chosen(path, value)

    return check
