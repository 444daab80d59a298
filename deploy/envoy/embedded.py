"""The worker inside Envoy: which filter hands calls to it, and what Envoy's process needs for it.

pyvoy (https://github.com/curioswitch/pyvoy) is a module that Envoy loads; it runs a Python
interpreter in Envoy's process and calls an ASGI application, `data_plane/embedded.py`. Used by
`filters.py`, `replica.py` and `deploy/up/plan.py`.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path

from find_libpython import candidate_paths

from deploy.envoy.clusters import Block

_ALONE = "data_plane.embedded:app"
_REPLICA = "data_plane.embedded:replica"
# One application, so one filter: an instance runs for each place where the filter is configured.
_CALLS = r"(/modelserving[.]v1[.](InferenceService|ModelService)/.*)|(/health([?].*)?)"
_MATCHING = "type.googleapis.com/envoy.extensions.common.matching.v3.ExtensionWithMatcher"
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
    path = {
        "name": "path",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
            "header_name": ":path",
        },
    }
    # The engine has to be named here, other than in routes.
    is_call = {"safe_regex": {"google_re2": {}, "regex": _CALLS}}
    matcher = {
        "predicate": {"single_predicate": {"input": path, "value_match": is_call}},
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


def python_environment() -> dict[str, str]:
    """Return the variables with which Envoy's process finds this Python and its packages."""
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "PYTHONHOME": os.pathsep.join((sys.prefix, sys.exec_prefix)),
        # The module is built like an extension of Python and does not link the library itself.
        "LD_PRELOAD": _libpython(),
    }


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
