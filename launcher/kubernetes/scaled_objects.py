"""The ScaledObject of a group, by which KEDA scales its deployment. Pure.

Used by `cluster.py`, where scaling is left to KEDA. How many pods there should be, KEDA asks
`external_scaler_servicer.py`, which has waited where there should be fewer: KEDA is not to.
"""

import hashlib
from dataclasses import dataclass

import orjson
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.launcher.kubernetes.api import Document
from modelplane.launcher.kubernetes.manifests import (
    GROUP_LABEL,
    POOL_LABEL,
    TEMPLATE,
    name_of,
)

API_VERSION = "keda.sh/v1alpha1"
# The key of a trigger's metadata that names the group.
GROUP_KEY = "group"
# How often KEDA asks, beside being told at once that there should be none, or some.
_POLLING_SECONDS = 5
# No group has more (`control_plane/hosting/entity_rules.py`); KEDA's own bound would be 100.
_MOST = 1024
_AT_ONCE = {
    "stabilizationWindowSeconds": 0,
    "policies": [{"type": "Pods", "value": _MOST, "periodSeconds": 15}],
}


@dataclass(frozen=True, slots=True)
class Keda:
    """How KEDA finds who knows how many pods there should be.

    Attributes:
        address: `host:port` where the launcher answers it.
        authentication: Name of the TriggerAuthentication with KEDA's certificate.
    """

    address: str
    authentication: str


def scaled_object(spec: pb.GroupSpec, owner: Document, pool: str, keda: Keda) -> Document:
    """Return the ScaledObject of a group.

    Args:
        spec: What should run.
        owner: Its deployment, with which it goes.
        pool: Pool of the launcher.
        keda: How KEDA finds the launcher.
    """
    name, uid = name_of(spec.id), owner["metadata"]["uid"]
    found: Document = {
        "apiVersion": API_VERSION,
        "kind": "ScaledObject",
        "metadata": {
            "name": name,
            "labels": {POOL_LABEL: pool, GROUP_LABEL: spec.id},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "Deployment", "name": name, "uid": uid}
            ],
        },
        "spec": {
            "scaleTargetRef": {"name": name},
            "pollingInterval": _POLLING_SECONDS,
            # How long nobody must ask before there are fewer is known where the number comes from.
            "cooldownPeriod": 0,
            "minReplicaCount": 0,
            "maxReplicaCount": _MOST,
            "advanced": {
                "horizontalPodAutoscalerConfig": {
                    "behavior": {"scaleUp": _AT_ONCE, "scaleDown": _AT_ONCE}
                }
            },
            "triggers": [
                {
                    "type": "external-push",
                    "metadata": {"scalerAddress": keda.address, GROUP_KEY: spec.id},
                    "authenticationRef": {"name": keda.authentication},
                }
            ],
        },
    }
    digest = hashlib.sha256(orjson.dumps(found, option=orjson.OPT_SORT_KEYS)).hexdigest()
    found["metadata"]["annotations"] = {
        TEMPLATE: digest,
        "modelplane/endpoint": spec.endpoint_name,
        "modelplane/served-entity": spec.served_entity_name,
    }
    return found
