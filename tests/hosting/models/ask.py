"""Asks models in the same words through MLflow's own scoring server and through the model server.

`python ask.py MODEL_SERVER MODELS < cases` in an environment with MLflow: reads a JSON list of
`[name of the model, body as text]`, writes a JSON list of `{"mlflow": [status, body], "ours": ...}`.
Both run in this one process, on the same loaded models; what they say to a socket is tested elsewhere.
"""

import asyncio
import importlib
import importlib.util
import json
import logging
import sys
import warnings
from pathlib import Path

from mlflow.pyfunc import scoring_server


def _model_server(folder: Path):
    name = "model_server_asked"
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    sys.modules[name] = importlib.util.module_from_spec(spec)
    return lambda module: importlib.import_module(f"{name}.{module}")


def _ask_mlflow(app, body: str):
    scope = {
        "type": "http", "method": "POST", "path": "/invocations", "raw_path": b"/invocations",
        "query_string": b"", "headers": [(b"content-type", b"application/json")],
        "http_version": "1.1", "scheme": "http", "root_path": "", "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": body.encode(), "more_body": False}

    async def send(message):
        sent.append(message)

    try:
        asyncio.run(app(scope, receive, send))
    except BaseException as error:  # uvicorn answers with a bare 500, or ends
        return [500, type(error).__name__]
    text = b"".join(message.get("body", b"") for message in sent).decode()
    try:
        body = json.loads(text) if len(text) < 1_000_000 else "large"
        return [sent[0]["status"], body]
    except ValueError:
        return [sent[0]["status"], text]


def _ask_ours(module, model, body: str):
    refused = module("refusals").Refused
    try:
        invocation = module("invocation").Invocation(model, body.encode(), {"x-request-id": "r"})
        if invocation.stream:
            events = b"".join(invocation.events()).decode().split("\n\n")[:-1]
            return [200, [event.removeprefix("data: ") for event in events]]
        return [200, json.loads(invocation.answer(), parse_constant=_no_json)]
    except refused as refusal:
        return [refusal.status, json.loads(refusal.body())]


def _no_json(constant: str):
    raise AssertionError(constant)


def main() -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    module = _model_server(Path(sys.argv[1]))
    models, apps, results = {}, {}, []
    for name, body in json.load(sys.stdin):
        if name not in models:
            folder = str(Path(sys.argv[2], name))
            models[name] = module("model").Model(folder)
            apps[name] = scoring_server.init(scoring_server.load_model(folder))
        ours = _ask_ours(module, models[name], body)
        results.append({"ours": ours, "mlflow": _ask_mlflow(apps[name], body)})
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
