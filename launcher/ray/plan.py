"""Which jobs of a group start, and which end. Pure.

Used by `cluster.py`. The rules are those by which Kubernetes keeps deployments.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from modelplane.launcher.ray.jobs import PENDING, Job


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done.

    Attributes:
        start: How many hosts to start.
        end: Jobs that are told to end.
    """

    start: int
    end: Sequence[Job]


def plan(
    replicas: int,
    template: str,
    jobs: Collection[Job],
    ready: Collection[str],
    given_up: Collection[str],
) -> Plan:
    """Return what is to be done for a group.

    Args:
        replicas: How many hosts it should have.
        template: What they should be made from.
        jobs: All its jobs, also those that have ended.
        ready: Hosts that serve.
        given_up: Hosts that are to end, or are lost, and count no longer.
    """
    here = [job for job in jobs if not job.has_ended and job.id not in given_up]
    new = [job for job in here if job.template == template]
    old = [job for job in here if job.template != template]
    # One of the new serves before one of the old ends.
    surge = 1 if old else 0
    missing = max(0, min(replicas - len(new), replicas + surge - len(here)))
    end = []
    spare = sum(job.id in ready for job in here) - replicas
    for job in sorted(old, key=lambda one: one.id in ready):
        if job.id not in ready or spare > 0:
            spare -= job.id in ready
            end.append(job)
    # Those that serve stay, of the others those that a machine was found for.
    order = sorted(new, key=lambda one: (one.id in ready, one.status != PENDING, -one.started))
    end += order[: max(0, len(new) - replicas)]
    return Plan(missing, end)
