"""What a running deployment tells about itself: lines for a person, `up.json` for programs.

Pure; used by `supervisor.py`.
"""

import os
from collections.abc import Mapping
from typing import Any

from modelplane.deploy.envoy.options import Address
from modelplane.deploy.local_model import MODEL
from modelplane.deploy.up.plan import CONTROL_PLANE, ENVOY, LOCAL_MODEL, Plan


def url(plan: Plan, public: Address) -> str:
    """Return the URL of the public port."""
    return f"{'https' if plan.options.tls else 'http'}://{public}"


def lines(plan: Plan, public: Address) -> list[str]:
    """Return what the user needs to make the first request."""
    origin = url(plan, public)
    file = plan.data_dir.token_file("admin-token")
    given = bool(plan.options.admin_token)
    bearer = "$MODELPLANE_ADMIN_TOKEN" if given else plan.tokens.admin
    token = "the value of MODELPLANE_ADMIN_TOKEN" if given else f"{bearer}  (kept in {file})"
    curl = f"curl -s -H 'Authorization: Bearer {bearer}'".replace("'", '"')
    text = [
        f"modelplane is ready at {origin}",
        f"admin token: {token}",
        "try:",
        f"  {curl} {origin}/api/2.0/serving-endpoints",
    ]
    if plan.options.local_model:
        body = '{"messages": [{"role": "user", "content": "What is a gateway?"}], "max_tokens": 64}'
        text.append(f"  {curl} {origin}/serving-endpoints/{MODEL}/invocations -d '{body}'")
    return text


def state(plan: Plan, public: Address, pids: Mapping[str, int | None]) -> dict[str, Any]:
    """Return process ids and addresses of all parts.

    Args:
        plan: The deployment.
        public: Address under which the public port can be reached from here.
        pids: Process ids by name; None where a process is being restarted.
    """
    workers = [
        {
            "name": name,
            "pid": pids[name],
            "grpc": str(public) if name == plan.public_envoy else plan.address(name),
            "metrics_url": f"http://{plan.address(f'{name}-metrics')}/metrics",
        }
        for name in plan.worker_names
    ]
    envoy = plan.public_envoy
    found: dict[str, Any] = {
        "pid": os.getpid(),
        "url": url(plan, public),
        "admin_token_file": str(plan.data_dir.token_file("admin-token")),
        ENVOY: {"pid": pids[envoy], "admin_url": f"http://{plan.admin_address(envoy)}"},
        "control_plane": {
            "pid": pids[CONTROL_PLANE],
            "grpc": plan.address(CONTROL_PLANE),
            "snapshot": plan.address("snapshot"),
            "metrics_url": f"http://{plan.address('control-plane-metrics')}/metrics",
        },
        "workers": workers,
        "logs": str(plan.data_dir.log_file(ENVOY).parent),
    }
    if plan.options.local_model:
        model_url = f"http://{plan.address(LOCAL_MODEL)}/v1"
        found["local_model"] = {"pid": pids[LOCAL_MODEL], "url": model_url}
    return found
