"""Which jobs start and end."""

import pytest

from modelplane.launcher.ray.jobs import Job
from modelplane.launcher.ray.plan import plan


def jobs(text: str) -> list[Job]:
    """Return jobs of a text: a letter for each, in upper case if it serves.

    n: new; o: of an older template; p: new and not placed; x: ended; l: given up; _: a free slot.
    """
    return [
        Job(
            id=f"{slot}",
            group_id="g",
            slot=slot,
            template="old" if letter in "oO" else "new",
            token=f"{letter}{slot}",
            status={"p": "PENDING", "x": "FAILED"}.get(letter, "RUNNING"),
        )
        for slot, letter in enumerate(text)
        if letter != "_"
    ]


@pytest.mark.parametrize(
    ("replicas", "there", "starts", "ends"),
    [
        (0, "", [], []),
        (2, "", [0, 1], []),
        (2, "NN", [], []),
        (2, "N_N", [], []),
        (3, "N_N", [1], []),
        (1, "NNn", [], [1, 2]),
        (1, "nN", [], [0]),
        (1, "pn", [], [0]),
        (0, "Nn", [], [0, 1]),
        (1, "x", [1], []),
        (1, "l", [1], []),
        (2, "lN", [2], []),
        (2, "OO", [2], []),
        (2, "OOn", [], []),
        (2, "OON", [], [0]),
        (2, "_ON", [0], []),
        (2, "nON", [], []),
        (2, "NON", [], [1]),
        (2, "oO", [2], [0]),
        (0, "OO", [], [0, 1]),
        (1, "OO", [], [0]),
    ],
)
def test_so_many_start_and_those_that_serve_last_end(
    replicas: int, there: str, starts: list[int], ends: list[int]
) -> None:
    found = jobs(there)
    ready = {job.host for job in found if job.token[0].isupper()}
    given_up = {job.host for job in found if job.token[0] == "l"}
    done = plan(replicas, "new", found, ready, given_up)
    assert list(done.slots) == starts
    assert sorted(job.slot for job in done.end) == ends
