"""The rights of the launcher in a cluster."""

from typing import Any

# What the chart's Role gives the launcher: `tests/deploy/chart` has that they are the same.
RULES: list[dict[str, Any]] = [
    {
        "apiGroups": ["apps"],
        "resources": ["deployments"],
        "verbs": ["get", "list", "watch", "create", "update", "delete"],
    },
    {"apiGroups": ["apps"], "resources": ["deployments/scale"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]},
]

# The same where KEDA scales: who may then not scale beside it.
RULES_WITH_KEDA: list[dict[str, Any]] = [
    *(rule for rule in RULES if rule["resources"] != ["deployments/scale"]),
    {
        "apiGroups": ["keda.sh"],
        "resources": ["scaledobjects"],
        "verbs": ["list", "watch", "create", "patch"],
    },
]
