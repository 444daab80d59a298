"""What keeps pods from coming up, in words for whoever owns the model. Pure.

Reads the status of pods: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/.
"""

from collections.abc import Iterable

from modelplane.launcher.kubernetes.api import Document

_MOST_MESSAGE = 500
# What a container waits for in the ordinary way.
_ORDINARY = {"", "ContainerCreating", "PodInitializing"}


def problem_of(pods: Iterable[Document]) -> str:
    """Return what keeps the first pod that is kept from coming up; empty: none is."""
    for pod in pods:
        if found := _unplaced(pod) or _waiting(pod):
            return found[:_MOST_MESSAGE]
    return ""


def is_looping(pod: Document) -> bool:
    """Tell whether a pod's container ends again and again, and may have printed why."""
    return any(_reason(status) == "CrashLoopBackOff" for status in _statuses(pod))


def _unplaced(pod: Document) -> str:
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            return f"No machine of the cluster fits: {condition.get('message', '')}"
    return ""


def _waiting(pod: Document) -> str:
    for status in _statuses(pod):
        reason = _reason(status)
        if reason not in _ORDINARY:
            told = status["state"]["waiting"].get("message", "")
            return f"The pod does not start: {reason}: {told}{_last_end(status)}"
    return ""


def _last_end(status: Document) -> str:
    ended = (status.get("lastState") or {}).get("terminated")
    if not ended:
        return ""
    return f" (it ended with status {ended.get('exitCode')}, {ended.get('reason', 'Error')})"


def _statuses(pod: Document) -> list[Document]:
    return pod.get("status", {}).get("containerStatuses") or []


def _reason(status: Document) -> str:
    return str(((status.get("state") or {}).get("waiting") or {}).get("reason", ""))
