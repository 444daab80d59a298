"""Checks the clock against those of the database and of the providers, whom other checks have met.

Before: `examination`, which runs it last.
"""

from collections.abc import Iterator

from modelplane.deploy.command.doctor.findings import Finding, Level, Patient

# JWTs, signatures of requests and certificates allow for some minutes at most.
_MUCH_SECONDS, _TOO_MUCH_SECONDS = 5.0, 60.0


def check_clock(patient: Patient) -> Iterator[Finding]:
    """Find out how far this machine's clock is from others."""
    if not patient.offsets:
        text = "there was no other clock to compare with"
        yield Finding("clock", Level.SKIPPED, text)
        return
    who, offset = sorted(patient.offsets.items(), key=lambda pair: abs(pair[1]))[
        len(patient.offsets) // 2
    ]
    direction = "behind" if offset > 0 else "ahead of"
    if abs(offset) < _MUCH_SECONDS:
        yield Finding("clock", Level.OK, f"agrees with {who}")
        return
    level = Level.PROBLEM if abs(offset) > _TOO_MUCH_SECONDS else Level.WARNING
    text = f"it is {abs(offset):.0f} s {direction} {who}"
    yield Finding("clock", level, text, "let NTP set it, on this machine or on that one")
