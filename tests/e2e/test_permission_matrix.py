"""Everyone calls everything, in every way: each cell of `permission_table`, through Envoy."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from google.protobuf.descriptor import MethodDescriptor

from modelplane.deploy.envoy.options import EnvoyOptions
from modelplane.deploy.envoy.routes import build_route_config
from tests.e2e.permission_routes import (
    Answer,
    Caller,
    Route,
    calling,
    name_of,
    public_methods,
    routes_of,
)
from tests.e2e.permission_table import CREATOR, ROLES, ROWS, Outcome, Role, Row
from tests.e2e.permission_world import World, populated
from tests.e2e.rest import Json
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

METHODS: Mapping[str, MethodDescriptor] = {name_of(method): method for method in public_methods()}
# Of gRPC itself: reflection needs a token and no right, the health check nothing.
OPEN_SERVICES = {"grpc.reflection."}


@pytest.fixture(scope="module")
def world(running_system: System, provider: OpenAiEmulator) -> Iterator[World]:
    with populated(running_system, provider) as made:
        yield made


def test_the_table_has_a_row_for_each_rpc() -> None:
    assert set(ROWS) == set(METHODS)


def test_nothing_else_is_reached_through_envoy() -> None:
    services = {method.containing_service.full_name for method in METHODS.values()}
    routes: Any = build_route_config(EnvoyOptions())["virtual_hosts"]
    prefixes = {
        route["match"]["prefix"].strip("/")
        for route in routes[0]["routes"]
        if "route" in route and "prefix" in route["match"]
    }
    assert prefixes == services | OPEN_SERVICES


@pytest.mark.parametrize("name", ROWS)
async def test_each_role_gets_what_the_table_says(world: World, name: str) -> None:
    row = ROWS[name]
    if row.lists:
        # Made now, if it is not there yet.
        world.find(row.lists[0], CREATOR)
    async with calling(world.system) as caller:
        cells = [
            (route, role)
            for route in routes_of(METHODS[name], streams=row.streams)
            for role in ROLES
        ]
        requests = [world.resolve(row.request, role) for _, role in cells]
        calls = [
            _check(world, caller, row, route, role, request)
            for (route, role), request in zip(cells, requests, strict=True)
        ]
        if row.in_turn:
            wrong = [await call for call in calls]
        else:
            wrong = await asyncio.gather(*calls)
    assert not [cell for cell in wrong if cell]


async def _check(
    world: World, caller: Caller, row: Row, route: Route, role: Role, request: Json
) -> str:
    """Call once and return what is wrong with the answer, if anything is."""
    answer = await caller.call(route, request, world.tokens[role])
    outcome = row.outcome(role)
    cell = f"{route} {role.way.value} ({role.rank.name}): {answer.status} {answer.text[:200]}"
    if answer.status != outcome.value[0 if route.verb else 1]:
        return f"{cell}; not {outcome.name}"
    if outcome is Outcome.HIDDEN:
        nothing = world.resolve_to_none(row.request)
        ghost = await caller.call(route, nothing, world.tokens[role])
        if _anonymised(answer) != _anonymised(ghost):
            return f"{cell}; what does not exist answers {ghost.text[:200]}"
    if row.lists is not None and outcome is Outcome.OK:
        listed, rank = row.lists
        shown = f'"{world.find(listed, role)}"' in answer.text
        if shown is not (role.rank >= rank):
            return f"{cell}; a list that shows {shown=}"
    return ""


def _anonymised(answer: Answer) -> Answer:
    text = re.sub(r"matrix-[a-z]+(-\d+)?|[0-9a-f]{32}", "NAME", answer.text)
    return Answer(answer.status, text, answer.headers)
