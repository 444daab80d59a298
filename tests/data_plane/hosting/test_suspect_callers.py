"""Callers whose requests end a model's processes, each time another one."""

import pytest

from modelplane.data_plane.hosting import suspect_callers
from modelplane.data_plane.hosting.suspect_callers import FOUND, MOST, SUSPECTED, SuspectCallers
from tests.data_plane.hosting.model_server import ModelServer, model_servers
from tests.data_plane.hosting.world import World, group
from tests.data_plane.messages import principal, token

WINDOW = 300.0
OTHER = "dapi-of-another-caller"


def crash(callers: SuspectCallers, caller: str, count: int, now: float = 0) -> None:
    for number in range(count):
        callers.note_lost(caller, f"{caller}-{number}-{now}", now)


def admitted(callers: SuspectCallers, caller: str, draws: int) -> float:
    """Return the share of all turns in which a caller is let in."""
    return sum(not callers.held(caller, 5.0 * turn) for turn in range(draws)) / draws


def test_who_is_found_is_refused_for_five_minutes_and_nobody_else() -> None:
    callers = SuspectCallers()
    crash(callers, "mallory", FOUND)
    assert callers.held("alice", 1) == 0
    assert callers.held("mallory", 1) == WINDOW - 1
    assert callers.held("mallory", 299.5) == 1
    assert callers.held("mallory", 300) == 0
    # Then it has all its tries again.
    crash(callers, "mallory", SUSPECTED - 1, 301)
    assert callers.held("mallory", 302) == 0


def test_several_requests_in_one_process_count_once() -> None:
    callers = SuspectCallers()
    for _ in range(2 * FOUND):
        callers.note_lost("mallory", "a", 0)
    assert callers.held("alice", 1) == 0
    assert callers.held("mallory", 1) == 0


def test_suspects_are_let_in_half_of_the_time_and_not_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(suspect_callers, "_SECONDS", 1e9)
    callers = SuspectCallers()
    crash(callers, "mallory", SUSPECTED)
    crash(callers, "alice", SUSPECTED)
    assert callers.held("bob", 0) == 0
    draws = 400
    assert 0.4 < admitted(callers, "mallory", draws) < 0.6
    both = [
        not callers.held("mallory", 5.0 * turn) and not callers.held("alice", 5.0 * turn)
        for turn in range(draws)
    ]
    assert 0.15 < sum(both) / draws < 0.35
    turn = next(turn for turn in range(draws) if callers.held("alice", 5.0 * turn))
    # Until the next draw, and the same for so long.
    assert callers.held("alice", 5.0 * turn) == 5
    assert callers.held("alice", 5.0 * turn + 4.5) == 1


def test_innocent_callers_who_are_always_there_are_found_seldom() -> None:
    """The one who ends each process is refused; of those who are in it as far as let in, few."""
    innocent = [f"user-{number}" for number in range(40)]
    callers, now, ends = SuspectCallers(), 0.0, 0
    while callers.held("mallory", now) <= 5:
        now += 5
        there = [one for one in (*innocent, "mallory") if not callers.held(one, now)]
        if "mallory" in there:
            ends += 1
            for one in there:
                callers.note_lost(one, f"{ends}", now)
    assert ends == FOUND
    refused = [one for one in innocent if callers.held(one, now) > 5]
    assert len(refused) <= 4
    # All others are no suspects any more.
    turns = [now + 5.0 * turn for turn in range(1, 9)]
    let_in = [one for one in innocent if not any(callers.held(one, turn) for turn in turns)]
    assert sorted(let_in + refused) == sorted(innocent)


def test_who_is_alone_with_a_model_is_not_refused() -> None:
    callers = SuspectCallers()
    crash(callers, "owner", FOUND)
    assert callers.held("owner", 1) == 0
    assert callers.held("alice", 2) == 0
    assert callers.held("owner", 3) > 0


def test_there_are_64_at_most() -> None:
    callers = SuspectCallers()
    for number in range(MOST + 1):
        crash(callers, f"user-{number}", SUSPECTED)
    crash(callers, "user-1", FOUND - SUSPECTED, 1)
    assert callers.held("alice", 2) == 0
    assert callers.held("user-0", 2) == 0
    assert callers.held("user-1", 2) > 5


async def test_a_caller_who_changes_the_body_each_time_is_refused_and_others_are_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspect_callers, "FOUND", SUSPECTED)
    servers = [ModelServer(breaks=True) for _ in range(SUSPECTED)]
    usual = ModelServer()
    async with model_servers(*servers, usual):
        await world.serve(group())
        other = principal("other", admin=True)
        await world.put(
            group(), tokens=[token(OTHER, id="token-2", principal_id=other.id)], principals=[other]
        )
        for number, server in enumerate(servers):
            await world.put(group(server))
            assert (await world.ask({"inputs": [number]}, token=OTHER)).status == 502
        await world.put(group(usual))
        assert (await world.ask()).status == 200
        refused = await world.ask({"inputs": ["new"]}, token=OTHER)
        assert (refused.status, refused.error_code) == (429, "REQUEST_LIMIT_EXCEEDED")
        assert "of yours" in refused.message
        assert 0 < int(refused.headers["retry-after"]) <= WINDOW
        assert (await world.ask()).status == 200
    assert len(usual.requests) == 2
