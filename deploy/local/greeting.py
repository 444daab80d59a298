"""What a running deployment tells about itself: lines for a person, `up.json` for programs.

Pure; used by `supervisor.py` and `parts.py`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelplane.control_plane.ui.assets import PAGE, STATIC
from modelplane.deploy.envoy.options import MAX_CONNECTIONS, Address
from modelplane.deploy.local.child import Child
from modelplane.deploy.local.options import CUSTOM_MODEL, LOCAL_MODEL
from modelplane.deploy.local.plan import (
    CONTROL_PLANE,
    ENVOY,
    LAUNCHER,
    PAYLOAD_WRITER,
    REGISTRY,
    Plan,
    listen_of,
    metrics_url_of,
    most_connections,
)

TRAINED_BY = "deploy/local/custom_model/taxi_fares.py"


def url(plan: Plan, public: Address) -> str:
    """Return the URL of the public port."""
    return f"{'https' if plan.options.tls else 'http'}://{public}"


def lines(plan: Plan, public: Address, seconds: float) -> list[str]:
    """Return what the user needs to make the first request.

    Args:
        plan: The deployment.
        public: Address under which the public port can be reached from here.
        seconds: How long after the start the first answer came.
    """
    origin = url(plan, public)
    file = plan.data_dir.token_file("admin-token")
    given = bool(plan.options.admin_token)
    bearer = "$MODELPLANE_ADMIN_TOKEN" if given else plan.tokens.admin
    token = "the value of MODELPLANE_ADMIN_TOKEN" if given else f"{bearer}  (kept in {file})"
    curl = f"curl -s -H 'Authorization: Bearer {bearer}'".replace("'", '"')
    text = [
        f"modelplane is ready at {origin}",
        f"admin token: {token}",
        f"logs: {plan.data_dir.logs}  (modelplane logs -f)",
    ]
    if not plan.options.no_ui and (STATIC / PAGE).exists():
        text.append(f"user interface: {origin}/ui/")
    if (most := most_connections()) < MAX_CONNECTIONS:
        text.append(
            f"at most {most} connections at once, as the limit of open files (ulimit -Hn) is low"
        )
    text += ["try:", f"  {curl} {origin}/api/2.0/serving-endpoints"]
    if plan.options.local_model:
        body = '{"messages": [{"role": "user", "content": "What is a gateway?"}], "max_tokens": 64}'
        text.append(f"  {curl} {origin}/serving-endpoints/{LOCAL_MODEL}/invocations -d '{body}'")
        text.append(f"{LOCAL_MODEL} gave its first answer {seconds:.1f} s after the start")
    if plan.options.serves_custom_model:
        path = f"{origin}/serving-endpoints/{CUSTOM_MODEL}/invocations"
        body = '{"dataframe_records": [{"km": 12, "minutes": 30, "night": true}]}'
        text.append(
            f"{CUSTOM_MODEL}, a custom model, comes of {TRAINED_BY}; watch it, then ask it:"
        )
        text.append(f"  {curl} {origin}/api/2.0/serving-endpoints/{CUSTOM_MODEL}")
        text.append(f"  {curl} {path} -d '{body}'")
    elif plan.options.custom_model:
        text.append("no custom model is made, as the deployment is given a registry of models")
    if plan.options.runs_registry:
        text.append(f"a model registry is being started at {plan.registry_url}")
    return text


def state(plan: Plan, public: Address, children: Mapping[str, Child]) -> dict[str, Any]:
    """Return process ids and addresses of all parts.

    Args:
        plan: The deployment.
        public: Address under which the public port can be reached from here.
        children: Its processes by name; one that is being restarted has no id.
    """
    workers = [_worker(children[name]) for name in plan.worker_names]
    found: dict[str, Any] = {
        "pid": os.getpid(),
        "url": url(plan, public),
        "admin_token_file": str(plan.data_dir.token_file("admin-token")),
        ENVOY: {"pid": children[ENVOY].pid, "admin": str(plan.admin)},
        "control_plane": {
            "pid": children[CONTROL_PLANE].pid,
            "grpc": plan.address(CONTROL_PLANE),
            "snapshot": plan.address("snapshot"),
            "metrics_url": f"http://{plan.address('control-plane-metrics')}/metrics",
        },
        "workers": workers,
        "logs": str(plan.data_dir.log_file(ENVOY).parent),
    }
    if plan.options.tls:
        # Commands of this machine know it by this, whatever name it is for.
        found["certificate"] = str(Path(plan.options.tls.certificate).absolute())
    if LAUNCHER in children:
        found["launcher"] = {
            "pid": children[LAUNCHER].pid,
            "metrics_url": f"http://{plan.address('launcher-metrics')}/metrics",
        }
    if PAYLOAD_WRITER in children:
        found["payload_writer"] = {
            "pid": children[PAYLOAD_WRITER].pid,
            "metrics_url": f"http://{plan.address('payload-writer-metrics')}/metrics",
        }
    if REGISTRY in children:
        found["registry"] = {"pid": children[REGISTRY].pid, "url": plan.registry_url}
    return found


def _worker(child: Child) -> dict[str, Any]:
    return {
        "name": child.spec.name,
        "pid": child.pid,
        "listen": str(listen_of(child.spec)),
        "metrics_url": metrics_url_of(child.spec),
    }
