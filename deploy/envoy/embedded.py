"""The worker inside Envoy: which filter hands calls to it, and what Envoy's process needs for it.

pyvoy (https://github.com/curioswitch/pyvoy) is a module that Envoy loads; it runs a Python
interpreter in Envoy's process and calls an ASGI application, `data_plane/embedded.py`. Used by
`filters.py`, `replica.py` and whoever starts such an Envoy.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

from find_libpython import candidate_paths

from modelplane.deploy.envoy.clusters import Block

_ALONE = "modelplane.data_plane.embedded:app"
_REPLICA = "modelplane.data_plane.embedded:replica"
_CALLS = r"/modelserving[.]v1[.](InferenceService|ModelService)/.*"
# Queries that a worker takes as they are. The others are transcoded, and so are those that name
# an endpoint with letters that need an escape, as no endpoint has them.
QUERY_PATH = "/serving-endpoints/([A-Za-z0-9_-]+/invocations|(chat/)?completions|embeddings)"
QUERY_STRING = "([?].*)?"
_HEALTH = f"/health{QUERY_STRING}"
_HEALTH_CHECKS = rf"{_HEALTH}|/grpc[.]health[.]v1[.]Health/Check"
_MATCHING = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher"
_HEALTH_CHECK = "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck"
_COMPOSITE = "type.googleapis.com/envoy.extensions.filters.http.composite.v3"
_MODULE = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"


def obstacle() -> str:
    """Return why no worker can run inside Envoy here; empty: one can."""
    if not sys.platform.startswith("linux"):
        return "it is for Linux only"
    if importlib.util.find_spec("pyvoy") is None:
        return "the package pyvoy is not installed"
    return "" if _libpython() else "this Python has no shared library"


def build_worker_filter() -> Block:
    """Return the filter that answers queries and `/health`; other requests pass it."""
    is_grpc = _header("content-type", "application/grpc.*")
    is_call = _all_of(_header(":path", _CALLS), is_grpc)
    is_query = _all_of(
        _header(":path", QUERY_PATH + QUERY_STRING),
        _header(":method", "POST"),
        {"not_matcher": is_grpc},
    )
    is_health = _all_of(_header(":path", _HEALTH), _header(":method", "GET|HEAD"))
    matcher = {
        # One filter for all: each place where it is configured would run a worker.
        "predicate": {"or_matcher": {"predicate": [is_call, is_query, is_health]}},
        "on_match": {
            "action": {
                "name": "worker",
                "typed_config": {
                    "@type": f"{_COMPOSITE}.ExecuteFilterAction",
                    "typed_config": {"name": "worker", "typed_config": _module(_ALONE)},
                },
            }
        },
    }
    return {
        "name": "worker",
        "typed_config": {
            "@type": _MATCHING,
            "xds_matcher": {"matcher_list": {"matchers": [matcher]}},
            "extension_config": {
                "name": "envoy.filters.http.composite",
                "typed_config": {"@type": f"{_COMPOSITE}.Composite"},
            },
        },
    }


def build_replica_filter() -> Block:
    """Return the filter that answers all requests of an Envoy behind another one."""
    return {"name": "worker", "typed_config": _module(_REPLICA)}


def build_drain_filter() -> Block:
    """Return the filter that answers health checks once the Envoy drains: not ready.

    It also marks all other answers then, so that an Envoy in front knows at once.
    """
    path = {"name": ":path", "string_match": {"safe_regex": {"regex": _HEALTH_CHECKS}}}
    settings = {"pass_through_mode": True, "headers": [path]}
    return {"name": "drain", "typed_config": {"@type": _HEALTH_CHECK, **settings}}


def python_environment() -> dict[str, str]:
    """Return the variables with which Envoy's process finds this Python and its packages."""
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONHOME": os.pathsep.join((sys.prefix, sys.exec_prefix)),
        # The module is built like an extension of Python and does not link the library itself.
        "LD_PRELOAD": _libpython(),
    }


def _all_of(*predicates: Block) -> Block:
    return {"and_matcher": {"predicate": predicates}}


def _header(name: str, regex: str) -> Block:
    """Return the predicate that a request header matches the whole expression."""
    header = {
        "name": "header",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": name,
        },
    }
    # The engine has to be named here, other than in routes.
    matches = {"safe_regex": {"google_re2": {}, "regex": regex}}
    return {"single_predicate": {"input": header, "value_match": matches}}


def _module(name: str) -> Block:
    spec = importlib.util.find_spec("pyvoy._pyvoy")
    if spec is None or spec.origin is None:
        raise ValueError("the package pyvoy has no module for Envoy")
    application = {"app": name, "interface": "asgi", "root_path": "", "lifespan": True}
    return {
        "@type": _MODULE,
        "dynamic_module_config": {"module": {"local": {"filename": spec.origin}}},
        "filter_name": "pyvoy",
        "terminal_filter": True,
        "filter_config": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": json.dumps(application),
        },
    }


def _libpython() -> str:
    found = (Path(path) for path in candidate_paths())
    shared = (path for path in found if path.name.startswith("libpython") and path.exists())
    return next(map(str, shared), "")
