"""How endpoints are shown and listed, and what of that can be sent back."""

import pytest
from google.protobuf import json_format
from modelserving.v1.endpoint_pb2 import EndpointConfigInput
from sqlalchemy import event

from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.listing import Listing
from modelplane.control_plane.endpoints.views import build_summary
from modelplane.control_plane.errors import (
    InvalidParameter,
)
from modelplane.control_plane.output_only import clear_output_only
from modelplane.control_plane.principal import PrincipalKind
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints.lists import Place
from modelplane.control_plane.store.endpoints.records import StoredEndpoint
from modelplane.control_plane.store.tables import PrincipalRow
from tests.control_plane.conftest import ALICE
from tests.control_plane.endpoints.test_lifecycle import BOB, request, view, with_model


async def test_a_summary_leaves_out_traffic_and_states(endpoints: Endpoints) -> None:
    record = await endpoints.create(ALICE, with_model())
    (listed,) = await endpoints.list_all(ALICE)
    assert listed == record
    config = json_format.MessageToDict(
        build_summary(listed, ALICE).config, preserving_proto_field_name=True
    )
    entity = {
        "name": "chat",
        "type": "EXTERNAL_MODEL",
        "external_model": {"name": "gpt-4", "provider": "openai", "task": "llm/v1/chat"},
    }
    assert config == {"served_entities": [entity], "served_models": [entity], "config_version": 1}


async def test_endpoints_are_listed_by_name(endpoints: Endpoints) -> None:
    for name in ("b", "C", "a"):
        await endpoints.create(ALICE, request(name))
    assert [record.name for record in await endpoints.list_all(ALICE)] == ["C", "a", "b"]
    # One more than a page has tells that there are more.
    first = await endpoints.list_all(ALICE, Listing(limit=1))
    assert [record.name for record in first] == ["C", "a"]
    rest = await endpoints.list_all(ALICE, Listing(after=Place("C"), limit=5))
    assert [record.name for record in rest] == ["a", "b"]


async def test_a_list_takes_no_statement_for_each_endpoint(
    endpoints: Endpoints, database: Database
) -> None:
    for n in range(3):
        await endpoints.create(ALICE, with_model(f"e{n}"))
    statements: list[str] = []
    event.listen(
        database.engine.sync_engine,
        "before_cursor_execute",
        lambda *arguments: statements.append(arguments[2]),
    )
    assert len(await endpoints.list_all(ALICE)) == 3
    assert len([text for text in statements if text.startswith("SELECT")]) == 2


@pytest.mark.parametrize(
    ("kind", "display_name", "shown"),
    [
        (PrincipalKind.SERVICE_PRINCIPAL, "svc2", ("ServicePrincipal", "svc2")),
        (PrincipalKind.USER, "Cy Jones", ("User", "Cy Jones")),
        (PrincipalKind.USER, "", ("User", "bob")),
        (None, "", ("User", "bob")),
    ],
)
async def test_the_creator_is_shown_as_what_it_is(
    endpoints: Endpoints,
    database: Database,
    kind: PrincipalKind | None,
    display_name: str,
    shown: tuple[str, str],
) -> None:
    if kind:
        async with database.write() as transaction:
            row = PrincipalRow(
                id=BOB.id, kind=kind, name=BOB.name, display_name=display_name, created_ms=1
            )
            transaction.session.add(row)
    endpoint = view(await endpoints.create(BOB, with_model()))
    assert (endpoint.creator_kind, endpoint.creator_display_name) == shown
    assert endpoint.creator == "bob"


def sent_back(record: StoredEndpoint) -> EndpointConfigInput:
    """Return the configuration as a client sends it that changes what it got."""
    shown = json_format.MessageToDict(view(record).config, preserving_proto_field_name=True)
    request = json_format.ParseDict(shown, EndpointConfigInput(), ignore_unknown_fields=True)
    # As the interceptor does.
    clear_output_only(request)
    return request


@pytest.mark.parametrize("twin", ["served_entities", "served_models"])
async def test_what_was_got_can_be_sent_back_with_a_change_in_one_of_the_twins(
    endpoints: Endpoints, twin: str
) -> None:
    record = await endpoints.create(ALICE, with_model())
    for model in ("gpt-4", "gpt-4o"):
        given = sent_back(record)
        changed = getattr(given, twin)[0].external_model
        changed.name = model
        changed.openai_config.openai_api_key_plaintext = "sk-2"
        record = await endpoints.update_config(ALICE, "chat", given)
        assert view(record).config.served_entities[0].external_model.name == model


async def test_twins_that_are_both_changed_are_refused(endpoints: Endpoints) -> None:
    given = sent_back(await endpoints.create(ALICE, with_model()))
    given.served_entities[0].external_model.name = "gpt-4o"
    given.served_models[0].external_model.name = "gpt-5"
    with pytest.raises(InvalidParameter, match="are given, and they differ"):
        await endpoints.update_config(ALICE, "chat", given)
