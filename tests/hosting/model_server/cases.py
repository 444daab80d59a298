"""What is asked of MLflow's own scoring server and of ours, and where the answers differ."""

import json
from typing import NamedTuple

# Why an answer of ours is not that of MLflow's own scoring server.
DIFFERENCES = {
    "list": "A list around the one object of a body or of `dataframe_split` is taken off.",
    "stream": "`stream: true` streams, or is refused by a model that cannot; MLflow ignores it.",
    "4xx": "What a model raises is 400, whatever the class of the error; MLflow answers 500.",
    "nan": "NaN, infinities and missing times are `null`; MLflow writes `NaN`, which is no JSON.",
    "base64": "Bytes are one line of base64; MLflow breaks it every 76 characters.",
    "type": "Tables and numbers inside of objects are written; MLflow fails on them.",
    "large": "An answer of more than 16 MiB is refused.",
    "deep": "Too deep an input and too long a number are refused; MLflow answers 500.",
    "whole": "A whole number is taken for a parameter with a fraction of an agent or a chat model.",
    "one": "The one answer of a language model is not in a list of one, as MLflow leaves it.",
    "input": "An agent's `input` may be text, which stands for one message of the user.",
}


class Case(NamedTuple):
    model: str
    body: str
    difference: str | None = None
    status: int = 200


def _case(model: str, body: object, difference: str | None = None, status: int = 200) -> Case:
    text = body if isinstance(body, str) else json.dumps(body)
    assert difference is None or difference in DIFFERENCES
    return Case(model, text, difference, status)


_COLUMNS = ["sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"]
_ROWS = [[5.1, 3.5, 1.4, 0.2], [7, 3.2, 4.7, 1.4]]
_SPLIT = {"columns": _COLUMNS, "data": _ROWS}
_RECORDS = [dict(zip(_COLUMNS, row, strict=True)) for row in _ROWS]
_FIRST = _RECORDS[0]
_TYPES: dict[str, object] = {
    "i": 1,
    "l": 2**60 + 1,
    "f": 0.1,
    "d": 1,
    "s": "x",
    "b": True,
    "x": "AAE=",
    "t": "2026-01-02T03:04:05",
}
_MESSAGES = [{"role": "user", "content": "hello you"}]


def _iris() -> list[Case]:
    def iris(body: object, difference: str | None = None, status: int = 200) -> Case:
        return _case("iris", body, difference, status)

    by_column = {name: [row[name] for row in _RECORDS] for name in _COLUMNS}
    without = {name: value for name, value in _FIRST.items() if name != _COLUMNS[0]}
    refused: list[object] = [
        {"dataframe_records": _FIRST},
        {"instances": _ROWS},
        {"inputs": _ROWS},
        {"dataframe_records": [without]},
        {"dataframe_split": {"columns": _COLUMNS, "data": [[None, 1, 2, 3]]}},
        {"dataframe_split": {"columns": _COLUMNS, "data": [["x", 1, 2, 3]]}},
        {"dataframe_split": {"columns": _COLUMNS}},
        {"dataframe_split": {}},
        {"dataframe_split": {**_SPLIT, "name": 1}},
        {"dataframe_split": _SPLIT, "instances": []},
        {"dataframe_split": 3},
        {"dataframe_records": 3},
        {"dataframe_records": [1, 2]},
        {"dataframe_records": []},
        {"rows": []},
        {"messages": []},
        {},
        [],
        "[1,2]",
        "3",
        "null",
        '"x"',
        "{",
        "",
    ]
    return [
        iris({"dataframe_split": _SPLIT}),
        iris({"dataframe_split": [_SPLIT]}, "list"),
        iris([{"dataframe_split": _SPLIT}], "list"),
        iris({"dataframe_records": _RECORDS}),
        iris({"instances": _RECORDS}),
        iris({"inputs": _RECORDS}),
        iris({"inputs": by_column}),
        iris({"dataframe_records": [{**_FIRST, "extra": 1}]}),
        iris({"dataframe_split": {"columns": _COLUMNS[::-1], "data": [[0.2, 1.4, 3.5, 5.1]]}}),
        iris({"dataframe_split": _SPLIT, "client_request_id": "x", "usage_context": {}}),
        iris({"dataframe_split": _SPLIT, "params": {"unknown": 1}}),
        iris({"dataframe_split": _SPLIT, "stream": True}, "stream", 400),
        *(iris(body, None, 400) for body in refused),
        iris("[" * 100_000, "deep", 400),
        iris('{"instances": ' + "[" * 2000 + "]" * 2000 + "}", "deep", 400),
        iris('{"instances": [[%s]]}' % ("1" * 5000), "deep", 400),
    ]


def _params() -> list[Case]:
    rows = {"dataframe_records": [{"x": 1}, {"x": 2.5}]}
    right = [{}, {"factor": 3}, {"factor": 2.5, "label": "x"}, {"unknown": 1}]
    wrong = [{"factor": "x"}, {"label": 1}, [1], 3]
    return [
        _case("params", rows),
        *(_case("params", {**rows, "params": params}) for params in right),
        *(_case("params", {**rows, "params": params}, None, 400) for params in wrong),
    ]


def _pyfunc() -> list[Case]:
    raised = dict.fromkeys(("mlflow", "exit", "object"), "4xx")
    alike = dict.fromkeys(("value", "memory", "recursion", "path"))
    answers = {"dictionary": "type", "bytes": "base64"}
    same = ("frame", "series", "array", "scalar", "text", "times", "big", "none")
    return [
        *(
            _case("raising", {"dataframe_records": [{"how": how}]}, difference, 400)
            for how, difference in (raised | alike).items()
        ),
        _case("not_finite", {"dataframe_records": [{"x": 1}, {"x": None}]}, "nan"),
        *(
            _case("answers", {"inputs": {"kind": [kind]}}, difference)
            for kind, difference in (answers | dict.fromkeys(same)).items()
        ),
        _case("answers", {"inputs": {"kind": ["large"]}}, "large", 400),
        _case("bare", {"inputs": [1, 2]}),
        _case("bare", {"instances": [[1, 2]]}),
        _case("bare", {"dataframe_records": [{"x": 1}], "params": {"a": 1}}),
        _case("bare", {"messages": _MESSAGES}),
        _case("bare", {"inputs": {"a": [1], "b": [2]}}),
        _case("bare", {"inputs": 3}),
        _case("typed", {"inputs": [{"name": "a"}, {"name": "b", "petals": 2}]}),
        _case("typed", {"inputs": [{"petals": 2}]}, None, 400),
        _case("typed", {"inputs": {"name": "a"}}, None, 400),
        _case("typed", {"instances": [{"name": "a"}]}, None, 400),
        _case("typed", {"dataframe_records": [{"name": "a"}]}, None, 400),
        _case("tensor", {"inputs": [[1, 2], [3, 4]]}),
        _case("tensor", {"instances": [[1, 2]]}),
        _case("tensor", {"dataframe_split": {"data": [[1, 2]]}}),
        _case("tensor", {"inputs": [[1, 2, 3]]}, None, 400),
        _case("tensor", {"inputs": [["a", "b"]]}, None, 400),
        _case("tensor", {"inputs": {"a": [[1, 2]]}}, None, 400),
    ]


def _column_types() -> list[Case]:
    fits: list[tuple[str, object]] = [
        ("i", 2.5),
        ("i", 2**40),
        ("b", None),
        ("b", 1),
        ("s", 3),
        ("s", None),
        ("d", None),
        ("t", None),
        ("f", 1e300),
    ]
    fits_not: list[tuple[str, object]] = [
        ("i", None),
        ("l", None),
        ("l", 2**70),
        ("d", "x"),
        ("x", 1),
        ("t", "nope"),
        ("t", "2026-01-02T03:04:05Z"),
    ]
    split = {"columns": list(_TYPES), "data": [list(_TYPES.values())]}
    return [
        _case("types", {"dataframe_split": split}),
        *(_case("types", {key: [_TYPES]}) for key in ("dataframe_records", "inputs", "instances")),
        *(_case("types", {"dataframe_records": [{**_TYPES, name: it}]}) for name, it in fits),
        *(
            _case("types", {"dataframe_records": [{**_TYPES, name: it}]}, None, 400)
            for name, it in fits_not
        ),
    ]


def _shapes() -> list[Case]:
    """Return cases of signatures that have more than columns of one value each."""
    whole: dict[str, object] = {"a": [0.5, 1.5], "o": {"name": "x", "n": 1}, "m": {"k": 1}}
    fits: list[dict[str, object]] = [
        whole,
        {"a": []},
        # Whole numbers in an array are taken where they are 0 or 1.
        {"a": [0, 1]},
        {"a": [0.5], "o": {"name": "x"}, "m": None},
        {"a": [0.5], "o": None, "extra": 1},
    ]
    fits_not: list[dict[str, object]] = [
        {"a": [1, 2]},
        {"a": ["x"]},
        {"a": 0.5},
        {"a": None},
        {"o": {"name": "x"}},
        {"a": [0.5], "o": {"n": 1}},
        {"a": [0.5], "o": {"name": "x", "more": 1}},
        {"a": [0.5], "o": "x"},
        {"a": [0.5], "m": {"k": "x"}},
    ]
    both = {"a": [1, 2], "b": [[1, 2], [3, 4]]}
    rows = [{"a": 1, "b": [1, 2]}, {"a": 2, "b": [3, 4]}]
    split = {"columns": list(whole), "data": [list(whole.values())]}
    return [
        _case("nested", {"dataframe_split": split}),
        _case("nested", {"inputs": [whole]}),
        # Each array would be a column of arrays.
        _case("nested", {"instances": [whole]}, None, 400),
        *(_case("nested", {"dataframe_records": [it]}) for it in fits),
        *(_case("nested", {"dataframe_records": [it]}, None, 400) for it in fits_not),
        _case("unnamed", {"dataframe_split": {"data": [[1, 2.5]]}}),
        _case("unnamed", {"dataframe_split": {"columns": ["p", "q"], "data": [[1, 2.5]]}}),
        _case("unnamed", {"dataframe_split": {"data": [[1]]}}, None, 400),
        _case("unnamed", {"dataframe_split": {"data": [["x", 1]]}}, None, 400),
        _case("tensors", {"inputs": both}),
        _case("tensors", {"instances": rows}),
        _case("tensors", {"inputs": {"a": [1, 2]}}, None, 400),
        _case("tensors", {"inputs": {**both, "b": [[1, 2, 3]]}}, None, 400),
        _case("tensors", {"instances": [rows[0], {"a": 2}]}, None, 400),
        _case("listed", {"prompt": "a"}, "one"),
        _case("listed", {"inputs": ["a"]}),
    ]


def _streaming() -> list[Case]:
    return [
        _case("streaming", {"prompt": "a b"}),
        _case("streaming", {"inputs": ["a b"]}),
        _case("streaming", {"prompt": "a", "stream": False, "client_request_id": "x"}),
        _case("streaming", {"prompt": "a b", "stream": True}, "stream"),
        _case("streaming", {"prompt": "a fail b", "stream": True}, "stream"),
        _case("streaming", {"prompt": "fail", "stream": True}, None, 400),
        _case("streaming", {"inputs": {"prompt": ["a b"]}, "stream": True}, "stream"),
        _case("streaming", {"inputs": ["a b", "c"], "stream": True}, "stream", 400),
    ]


def _chat() -> list[Case]:
    parts = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    asked = {"messages": _MESSAGES}
    context = {"custom_inputs": {"a": 1}, "context": {"user_id": "u"}}
    return [
        _case("chat_model", asked),
        _case("chat_model", {**asked, "temperature": 0.5, "max_tokens": 5}),
        _case("chat_model", {**asked, "stream": False}),
        _case("chat_model", {**asked, "logprobs": True, "tool_choice": "auto"}),
        _case("chat_model", {"inputs": asked}),
        _case("chat_model", {"dataframe_records": [asked]}),
        _case("chat_model", {**asked, "temperature": 2}, "whole"),
        _case("chat_model", {**asked, "stream": True}, "stream"),
        _case("chat_model", {"messages": parts}, None, 400),
        _case("chat_model", {"messages": "x"}, None, 400),
        _case("chat_model", {"messages": []}, None, 400),
        _case("chat_agent", asked),
        _case("chat_agent", {**asked, **context}),
        _case("chat_agent", {**asked, "stream": True}, "stream"),
        _case("chat_agent", {"messages": [{"role": "user"}]}, None, 400),
        _case("responses_agent", {"input": _MESSAGES}),
        _case("responses_agent", {"input": _MESSAGES, "custom_inputs": {"a": 1}}),
        _case("responses_agent", {"input": _MESSAGES, "client_request_id": "z"}),
        _case("responses_agent", {"input": "hello you"}, "input"),
        _case("responses_agent", {"input": _MESSAGES, "stream": True}, "stream"),
        _case("responses_agent", {"input": "x", "stream": True, "temperature": 1}, "input"),
        _case("responses_agent", {"input": 3}, None, 400),
    ]


CASES = [*_iris(), *_params(), *_pyfunc(), *_column_types(), *_shapes(), *_streaming(), *_chat()]
