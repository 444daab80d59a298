"""What a body says: which rows, in which of the formats, with which parameters.

The values are read by the code of the environment's own MLflow, so that they reach the model as
they do from MLflow's own server. What is on purpose more lenient here: a list around a single
object, whole numbers for columns of fractions, text for an agent's `input`.
"""

from __future__ import annotations

import functools
import importlib
import io
import json
import sys
from typing import Any, NamedTuple

from .model import Model
from .refusals import Refused, bad_request, clean, invalid, of_model

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_LLM_KEYS = ("messages", "prompt", "input")
# For the endpoint, not for the model.
_OPTIONS = ("client_request_id", "databricks_options", "usage_context")
_SHOWN_KEYS = 20
_MOST_DIGITS = 4300
_ONE_OF = "The input must be a JSON object with exactly one of the fields " + ", ".join(FORMATS)


class Call(NamedTuple):
    """What the model is asked."""

    given: object
    params: object | None
    # Whether the answer stands alone, not under `predictions`.
    bare: bool
    stream: bool
    # Whether the answer is to have its trace.
    trace: bool = False


def parse_body(body: bytes, content_type: str, model: Model) -> Call:
    """Return what a body asks of a model.

    Raises:
        Refused: It asks nothing that can be understood.
    """
    kind = _media_type(content_type)
    try:
        if kind == "application/json":
            return _parse_json(_one_object(_load_json(body)), model)
        return Call(_parse_table(kind, body, model), None, bare=False, stream=False)
    except Refused:
        raise
    except RecursionError as error:
        raise bad_request("The input is nested too deeply.") from error
    except Exception as error:
        if not hasattr(error, "error_code"):  # not MLflow's
            raise bad_request(clean("The input could not be read: %s" % error)) from error
        raise of_model(error) from error


def load_json(body: bytes, content_type: str) -> object:
    """Return the JSON that a body is.

    Raises:
        Refused: It is something else.
    """
    if _media_type(content_type) != "application/json":
        raise bad_request("This model is asked in JSON; send it as application/json.")
    try:
        return _load_json(body)
    except RecursionError as error:
        raise bad_request("The input is nested too deeply.") from error


def _media_type(content_type: str) -> str:
    if not content_type or content_type == "application/json":
        return "application/json"
    kind, *parameters = [part.strip().lower() for part in content_type.split(";")]
    for name, _, value in (parameter.partition("=") for parameter in parameters if parameter):
        if name != "charset":
            raise bad_request("The content type has an unknown parameter %r." % name[:100])
        if value.strip('"') not in {"utf-8", "utf8"}:
            raise bad_request("Only UTF-8 is supported as charset.")
    if kind not in {"application/json", "text/csv", "application/vnd.apache.parquet"}:
        raise bad_request(
            "The content type %r is not supported; it may be application/json, text/csv or "
            "application/vnd.apache.parquet." % kind[:100]
        )
    return kind


def _load_json(body: bytes) -> object:
    try:
        return _decoder().decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise bad_request("The body is not UTF-8: %s" % error) from error
    except ValueError as error:
        raise bad_request("The body is not valid JSON: %s" % error) from error


@functools.lru_cache(maxsize=1)
def _decoder() -> json.JSONDecoder:
    if hasattr(sys, "get_int_max_str_digits"):
        return json.JSONDecoder()
    return json.JSONDecoder(parse_int=_parse_int)  # reading a long number takes its length squared


def _parse_int(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number has more than %d digits" % _MOST_DIGITS)
    return int(digits)


def _one_object(value: object) -> dict[str, Any]:
    if isinstance(value, list) and len(value) == 1:  # printed so in documentation
        value = value[0]
    if isinstance(value, dict):
        return value
    names = {list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    raise bad_request("%s. Received %s." % (_ONE_OF, names.get(type(value), "a number")))


def _parse_json(sent: dict[str, Any], model: Model) -> Call:
    stream = sent.get("stream") is True
    if stream and not model.streamable:
        raise bad_request("This model does not support streaming: it has no predict_stream.")
    options = sent.get("databricks_options")
    trace = isinstance(options, dict) and options.get("return_trace") is True
    if any(key in sent for key in _LLM_KEYS):
        given, params = _split_llm_input(sent, model)
        return Call(given, params, bare=True, stream=stream, trace=trace)
    rows = _parse_rows(sent, model)
    return Call(rows, sent.get("params"), bare=False, stream=stream, trace=trace)


def _split_llm_input(sent: dict[str, Any], model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
    known = model.columns
    dropped = {key for key in (*_OPTIONS, "stream") if key not in known}
    params = {key: value for key, value in sent.items() if key in model.params_names}
    given = {key: value for key, value in sent.items() if key not in params and key not in dropped}
    # JSON does not tell 2 from 2.0, MLflow does.
    for key in model.floating_columns() & given.keys():
        if type(given[key]) is int:
            given[key] = float(given[key])
    if model.is_responses_agent and isinstance(given.get("input"), str):
        given["input"] = [{"role": "user", "content": given["input"]}]
    return given, params


def _parse_rows(sent: dict[str, Any], model: Model) -> object:
    found = [key for key in FORMATS if key in sent]
    if model.by_type_hints:
        if "inputs" not in sent:
            raise invalid(
                "The model's signature comes from type hints: the input must be a JSON object "
                "with the field inputs. Received %s." % _keys_of(sent)
            )
        return sent["inputs"]
    if len(found) != 1:
        raise bad_request("%s. Received %s." % (_ONE_OF, _keys_of(sent)))
    (key,) = found
    value = sent[key]
    parsers = importlib.import_module("mlflow.utils.proto_json_utils")
    if key in {"instances", "inputs"}:
        return parsers.parse_tf_serving_input({key: value}, schema=model.input_schema)
    if key == "dataframe_split" and isinstance(value, list) and len(value) == 1:
        value = value[0]
    return parsers.dataframe_from_parsed_json(
        value, pandas_orient=key[len("dataframe_") :], schema=model.input_schema
    )


def _keys_of(sent: dict[str, Any]) -> str:
    shown = ", ".join(sorted(sent)[:_SHOWN_KEYS])
    return "an object with the fields " + shown if sent else "an empty object"


def _parse_table(kind: str, body: bytes, model: Model) -> object:
    pandas = importlib.import_module("pandas")
    if kind != "text/csv":
        return pandas.read_parquet(io.BytesIO(body))
    schema = model.input_schema
    types = None
    if schema is not None and schema.has_input_names():
        types = dict(zip(schema.input_names(), schema.pandas_types()))
    return pandas.read_csv(io.StringIO(body.decode()), dtype=types)
