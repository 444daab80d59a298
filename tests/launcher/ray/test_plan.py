"""Which jobs start and end."""

import pytest

from modelplane.launcher.ray.jobs import Job
from modelplane.launcher.ray.plan import plan


def jobs(text: str) -> list[Job]:
    """Return jobs of a text: a letter for each, in upper case if it serves.

    n: new; o: of an older template; p: new and not placed; x: ended; l: given up. The last is the
    youngest.
    """
    return [
        Job(
            id=f"{slot}",
            group_id="g",
            started=slot,
            template="old" if letter in "oO" else "new",
            token=f"{letter}{slot}",
            status={"p": "PENDING", "x": "FAILED"}.get(letter, "RUNNING"),
        )
        for slot, letter in enumerate(text)
    ]


@pytest.mark.parametrize(
    ("replicas", "there", "starts", "ends"),
    [
        (0, "", 0, []),
        (2, "", 2, []),
        (2, "NN", 0, []),
        (3, "NN", 1, []),
        (1, "NNn", 0, [1, 2]),
        (1, "nN", 0, [0]),
        (1, "pn", 0, [0]),
        (0, "Nn", 0, [0, 1]),
        (1, "x", 1, []),
        (1, "l", 1, []),
        (2, "lN", 1, []),
        (2, "OO", 1, []),
        (2, "OOn", 0, []),
        (2, "OON", 0, [0]),
        (2, "ON", 1, []),
        (2, "nON", 0, []),
        (2, "NON", 0, [1]),
        (2, "oO", 1, [0]),
        (0, "OO", 0, [0, 1]),
        (1, "OO", 0, [0]),
    ],
)
def test_so_many_start_and_those_that_serve_last_end(
    replicas: int, there: str, starts: int, ends: list[int]
) -> None:
    found = jobs(there)
    ready = {job.id for job in found if job.token[0].isupper()}
    given_up = {job.id for job in found if job.token[0] == "l"}
    done = plan(replicas, "new", found, ready, given_up)
    assert done.start == starts
    assert sorted(job.started for job in done.end) == ends
