"""What Ray refuses of a job."""

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]
_NUMBER = (int, float)
# Fields of `JobSubmitRequest` and what they are: ray/dashboard/modules/job/common.py.
_FIELDS: Mapping[str, tuple[type, ...]] = {
    "entrypoint": (str,),
    "submission_id": (str,),
    "job_id": (str,),
    "runtime_env": (dict,),
    "metadata": (dict,),
    "entrypoint_num_cpus": _NUMBER,
    "entrypoint_num_gpus": _NUMBER,
    "entrypoint_memory": (int,),
    "entrypoint_resources": (dict,),
    "entrypoint_label_selector": (dict,),
}
_VALUES = {
    "metadata": (str,),
    "entrypoint_resources": _NUMBER,
    "entrypoint_label_selector": (str,),
}
# ray/_private/label_utils.py
_LABEL = r"([a-zA-Z0-9]([a-zA-Z0-9_.-]{0,61}[a-zA-Z0-9])?)"
_PREFIX = re.compile(rf"({_LABEL}?(\.{_LABEL}?)*)")
_SELECTOR = re.compile(rf"!?(?:in)?\({_LABEL}(?:, ?{_LABEL})*\)|!?{_LABEL}")
_LONGEST_NAME, _LONGEST_PREFIX = 63, 253


class Refusal(Exception):
    """An answer with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


def check_request(body: Document) -> Document:
    """Return a request without what is null: `parse_and_validate_request`, job/utils.py."""
    given = {key: value for key, value in body.items() if value is not None}
    if unknown := given.keys() - _FIELDS.keys():
        raise _traceback(f"TypeError: got an unexpected keyword argument '{unknown.pop()}'")
    if "entrypoint" not in given:
        raise _traceback("TypeError: missing 1 required positional argument: 'entrypoint'")
    for name, value in given.items():
        if not isinstance(value, _FIELDS[name]):
            raise _traceback(f"TypeError: {name} must be another type, got {type(value)}")
        if isinstance(value, dict):
            kinds = _VALUES.get(name, (object,))
            if not all(isinstance(key, str) for key in value):
                raise _traceback(f"TypeError: {name} keys must be strings")
            if not all(isinstance(one, kinds) for one in value.values()):
                raise _traceback(f"TypeError: {name} values must be another type")
    return given


def check_labels(selector: Mapping[str, str]) -> None:
    """Refuse a selector as the agent does: `validate_label_selector`, ray/_private/label_utils.py.

    The head makes a failure of its own of it: job/job_head.py, `_raise_error`.
    """
    for key, value in selector.items():
        prefix, _, name = key.rpartition("/")
        fits = len(prefix) <= _LONGEST_PREFIX and (not prefix or _PREFIX.fullmatch(prefix))
        if not fits or len(name) > _LONGEST_NAME or not re.fullmatch(_LABEL, name):
            raise passed_on(f"ValueError: Invalid label key `{key}`.")
        if value and not _SELECTOR.fullmatch(value):
            raise passed_on(f"ValueError: Invalid label selector value `{value}`.")


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether a node's labels do: src/ray/common/scheduling/label_selector.cc."""
    for key, text in selector.items():
        negated = text.startswith("!")
        values = re.split(r", ?", text.removeprefix("!").removeprefix("in").strip("()"))
        if "(" not in text:
            values = [text.removeprefix("!")]
        if (labels.get(key) in values) == negated:
            return False
    return True


def broken_environment(runtime_env: Mapping[str, Any]) -> str:
    """Return why no supervisor starts: ray/_private/runtime_env/validation.py; empty: it does."""
    variables = runtime_env.get("env_vars") or {}
    for key, value in variables.items():
        if not isinstance(key, str) or not isinstance(value, str):
            return f"runtime_env['env_vars'] must be of type Dict[str, str], got {value!r}"
    return ""


def passed_on(text: str) -> Refusal:
    """Return what the head makes of an agent's 400: job/job_head.py, `submit_job`."""
    return Refusal(
        500,
        "Traceback (most recent call last):\n"
        '  File "ray/dashboard/modules/job/job_head.py", line 169, in submit_job_internal\n'
        "RuntimeError: Request failed with status code 400: Traceback (most recent call last):\n"
        f"{text}\n.\n",
    )


def _traceback(text: str) -> Refusal:
    return Refusal(400, f"Traceback (most recent call last):\n{text}\n")
