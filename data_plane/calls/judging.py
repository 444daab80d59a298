"""Asks judges whether a text may pass: endpoints of this deployment, as any caller would.

A judge is asked in the name of whoever's call it judges, who need not be allowed to query it: so
its usage has a row of its own, of theirs. Its own guardrails ask no judge, so that none goes round.
`guarding.py` asks for a request and a whole answer, `upstreams/` for a stream.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import orjson

from modelplane.adapters.providers.canonical.json_values import as_object
from modelplane.adapters.providers.errors import AdapterError
from modelplane.adapters.providers.types import JsonObject
from modelplane.adapters.shared.rpc.metadata import HOPS, Metadata
from modelplane.adapters.shared.telemetry import log_fields
from modelplane.data_plane.calls.aside import Aside
from modelplane.data_plane.calls.call import Call, Method, Service
from modelplane.data_plane.calls.labels import TAGS_HEADER
from modelplane.data_plane.calls.refusals import Refused
from modelplane.data_plane.errors import DataPlaneError, GuardrailError, Refusal
from modelplane.data_plane.guardrails.cleared import digest_of
from modelplane.data_plane.guardrails.conversation import ending, is_too_long, split
from modelplane.data_plane.guardrails.findings import Findings
from modelplane.data_plane.guardrails.guard import Guard
from modelplane.data_plane.guardrails.judges import (
    Judge,
    NoVerdict,
    Ruling,
    Turn,
    build_question,
    parse_ruling,
)
from modelplane.data_plane.guardrails.policy import Checks
from modelplane.data_plane.guardrails.verdict import Phase
from modelplane.data_plane.snapshots.callers import Principal

_log = logging.getLogger(__name__)


class GuardrailUnchecked(GuardrailError):
    """A judge does not say whether a request or an answer may pass."""

    def __init__(self, policy: str, judge: str) -> None:
        super().__init__(
            f"The guardrail '{policy}' could not be checked: its judge, the endpoint '{judge}', "
            "gave no verdict in time; try again."
        )


@dataclass(frozen=True, slots=True)
class Court:
    """Asks judges for one call.

    Attributes:
        service: Answers what they are asked.
        call: The call.
        endpoint: Name of the endpoint that it queries.
        caller: Who calls.
        aside: Lets those be asked beside the call whose policies only log; None: it waits for them.
        waiting: What is asked so.
    """

    service: Service
    call: Call
    endpoint: str
    caller: Principal
    aside: Aside | None = None
    waiting: list[asyncio.Task[None]] = field(default_factory=list)

    async def ask(self, judge: Judge, question: JsonObject) -> JsonObject:
        """Return what a judge answers.

        Raises:
            AdapterError: Its provider does not answer.
            DataPlaneError: It does not answer.
        """
        reply = _Captured()
        call = Call(Method.QUERY, self._metadata(judge), f"{self.call.request_id}-judge")
        call.name = judge.endpoint
        call.body = question
        call.deadline_seconds = judge.seconds
        # Who has set the judge may query it, and so may whoever is judged, through it.
        call.judges_for = replace(self.caller, admin=True)
        await self.service.answer(call, reply)
        return as_object(orjson.loads(reply.document))

    def _metadata(self, judge: Judge) -> Mapping[str, str]:
        told = {
            "source": "guardrail",
            "guardrail": judge.rule.name,
            "endpoint": self.endpoint,
            "request_id": self.call.request_id,
        }
        hops = self.call.metadata.get(HOPS)
        return {TAGS_HEADER: orjson.dumps(told).decode(), **({HOPS: hops} if hops else {})}


async def review(guard: Guard, court: Court | None, phase: Phase, turns: Sequence[Turn]) -> None:
    """Ask the judges of one side of a call about it, and note what they say.

    Those whose policies only log may say it when the call has ended.

    Args:
        guard: The guardrails.
        court: Asks them; None: this call is a judge's own.
        phase: Which side it is.
        turns: What it says.

    Raises:
        GuardrailUnchecked: One does not say whether it may pass, and so it may not.
    """
    checks, findings = guard.checks(phase), guard.found[phase]
    if checks is None or not checks.judges or court is None or findings.blocked:
        return
    judges = _awaited(guard, court, checks, phase, turns)
    if not judges:
        return
    started = guard.clock()
    asking = (_ask(guard, court, judge, phase, turns) for judge in judges)
    rulings = await asyncio.gather(*asking)
    findings.asked_seconds += guard.clock() - started
    given = list(zip(judges, rulings, strict=True))
    for judge, ruling in given:
        if ruling is not None:
            _note(findings, judge, ruling)
    silent = [judge for judge, ruling in given if ruling is None and not judge.rule.logs]
    if silent:
        findings.unchecked = silent[0].rule.name
    required = [judge for judge in silent if not judge.passes_on_error]
    if required and not findings.blocked:
        raise GuardrailUnchecked(required[0].rule.name, required[0].endpoint)


def _awaited(
    guard: Guard, court: Court, checks: Checks, phase: Phase, turns: Sequence[Turn]
) -> Sequence[Judge]:
    """Return the judges for which the call waits, and let the others be asked beside it."""
    if court.aside is None:
        return checks.judges
    for judge in checks.judges:
        if judge.rule.logs:
            _ask_beside(guard, court, judge, phase, turns)
    return [judge for judge in checks.judges if not judge.rule.logs]


def _ask_beside(
    guard: Guard, court: Court, judge: Judge, phase: Phase, turns: Sequence[Turn]
) -> None:
    """Let a judge be asked for whose verdict no caller waits, unless too many are."""
    findings = guard.found[phase]

    async def ask() -> None:
        ruling = await _ask(guard, court, judge, phase, turns)
        if ruling is not None:
            _note(findings, judge, ruling)

    heard = guard.heard if phase is Phase.OUTPUT else ()
    characters = sum(len(turn.text) for turn in (*heard, *turns))
    task = court.aside.start(ask, characters) if court.aside is not None else None
    if task is None:
        findings.unjudged += 1
    else:
        findings.beside += 1
        court.waiting.append(task)


def _note(findings: Findings, judge: Judge, ruling: Ruling) -> None:
    if not judge.rule.logs:
        findings.categories |= ruling.categories
        findings.scores |= ruling.scores
    if ruling.flagged:
        findings.note(judge.rule, ruling.entity)


async def _ask(
    guard: Guard, court: Court, judge: Judge, phase: Phase, turns: Sequence[Turn]
) -> Ruling | None:
    """Return what a judge says of what it has not let pass before; None: nothing."""
    heard = guard.heard if phase is Phase.OUTPUT else ()
    said = [*heard, *turns]
    digests = list(_digests(judge, guard.caller, said))
    cleared = guard.cleared
    first = len(heard)
    while cleared is not None and first < len(said) and cleared.knows(digests[first]):
        first += 1
    if first == len(said):
        return Ruling(flagged=False, entity="")
    before, asked = said[:first], said[first:]
    try:
        async with asyncio.timeout(judge.seconds):
            ruling = await _ask_in_pieces(court, judge, phase, (ending(before), asked))
    except (TimeoutError, AdapterError, DataPlaneError, Refused, ValueError) as error:
        fields = {"guardrail": judge.rule.name, "judge": judge.endpoint}
        reason = type(error.__cause__ or error).__name__
        _log.warning("a judge gave no verdict", extra=log_fields(**fields, reason=reason))
        return None
    if not ruling.flagged and cleared is not None:
        for digest in digests[first:]:
            cleared.add(digest)
    return ruling


def _digests(judge: Judge, caller: str, turns: Sequence[Turn]) -> Iterator[bytes]:
    """Yield what turns are remembered by, each with all that was said before it."""
    before = ""
    for turn in turns:
        digest = digest_of(turn.text, f"{turn.role} {before}", judge.settings, caller)
        before = digest.hex()
        yield digest


async def _ask_in_pieces(
    court: Court, judge: Judge, phase: Phase, said: tuple[Sequence[Turn], Sequence[Turn]]
) -> Ruling:
    """Return what a judge says of new turns, which come after others."""
    before, asked = said
    if is_too_long(asked):
        raise NoVerdict("the text is too long")
    whole = Turn(asked[-1].role, "\n\n".join(turn.text for turn in asked))
    ruling = Ruling(flagged=False, entity="")
    for piece in split(whole):
        answer = await court.ask(judge, build_question(judge, [*before, piece], phase))
        ruling = parse_ruling(judge, answer)
        if ruling.flagged:
            break
    return ruling


class _Captured:
    """Keeps a whole answer; see `call.Reply`."""

    encode = staticmethod(orjson.dumps)

    def __init__(self) -> None:
        self.document = b""

    def pass_on(self, document: bytes) -> bytes:
        """Keep it as it is."""
        return document

    async def answer(self, metadata: Metadata, document: bytes) -> None:
        """Keep the answer."""
        del metadata
        self.document = document

    async def start(self, metadata: Metadata) -> None:
        """Refuse a stream, for which nobody has asked."""
        del metadata
        raise NoVerdict("it streams")

    async def send(self, chunks: Sequence[bytes], *, ended: bool) -> None:
        """Refuse a stream."""
        del chunks, ended
        raise NoVerdict("it streams")

    async def fail(self, refusal: Refusal) -> None:
        """Refuse a stream."""
        del refusal
        raise NoVerdict("it streams")
