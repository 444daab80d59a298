"""Policies of endpoints: which are taken, who judges for them, and their key."""

import pytest
from google.protobuf import json_format
from modelserving.v1.ai_gateway_pb2 import AiGatewayConfig
from modelserving.v1.guardrail_policy_pb2 import GuardrailJudge, GuardrailPolicy
from modelserving.worker.v1.snapshot_pb2 import EndpointResource

from modelplane.adapters.shared.guardrail_rules import (
    MAX_EXPRESSIONS,
    MAX_POLICIES,
    MAX_WORDS,
    PII_ENTITIES,
    DefaultJudges,
)
from modelplane.control_plane.endpoints.gateway_rules import build_policies
from modelplane.control_plane.endpoints.guardrail_judges import parse_judge
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.setting_changes import SettingChanges
from modelplane.control_plane.errors import InvalidParameter, PermissionDenied
from modelplane.control_plane.principal import Level, Principal
from modelplane.control_plane.secrets.credentials import CredentialResolver
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.snapshots.builder import ResourceBuilder
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.endpoints import changes
from modelplane.control_plane.store.states import EventKind
from modelplane.data_plane.guardrails.pii import ENTITIES
from tests.control_plane.configs import openai_entity
from tests.control_plane.conftest import ALICE, share
from tests.control_plane.endpoints.test_lifecycle import KEY, request, with_model
from tests.control_plane.rollouts import FakeRollout

BOB = Principal("bob-id", "bob")
JUDGE = {"endpoint_name": "guard", "form": "llama_guard"}
Json = dict[str, object]


def policy(**fields: object) -> GuardrailPolicy:
    return json_format.ParseDict({"name": "p", **fields}, GuardrailPolicy())


def gateway(**guardrails: object) -> AiGatewayConfig:
    return json_format.ParseDict({"guardrails": guardrails}, AiGatewayConfig())


def test_defaults_are_told() -> None:
    late, early = policy(pii={}), policy(name="q", rank=1, keywords={"words": ["x"]})
    first, second = build_policies([late, early])
    assert first.name == "q"
    assert second.rank == 100
    assert list(second.phases) == ["input", "output"]
    assert (second.mode, second.action, second.unscannable) == ("enforce", "block", "allow")
    assert tuple(second.pii.entities) == PII_ENTITIES


def test_kinds_of_personal_data_are_those_that_workers_find() -> None:
    assert set(PII_ENTITIES) == ENTITIES


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, "exactly one of pii, keywords, patterns, judge, and has none"),
        ({"pii": {}, "judge": JUDGE}, "has pii and judge"),
        ({"name": "a b", "pii": {}}, "the name 'a b' is none"),
        ({"pii": {}, "rank": -1}, "rank is -1; use 0 to 1000"),
        ({"pii": {}, "mode": "watch"}, "mode 'watch' is unknown; use enforce, log"),
        ({"pii": {}, "action": "delete"}, "action 'delete' is unknown"),
        ({"pii": {}, "phases": ["middle"]}, "'middle' is unknown; use input and output"),
        ({"pii": {}, "unscannable": "maybe"}, "unscannable 'maybe' is unknown"),
        ({"pii": {}, "unscannable": "block", "phases": ["output"]}, "is about requests"),
        ({"pii": {}, "sampling_fraction": 0}, "sampling_fraction is 0"),
        ({"pii": {}, "sampling_fraction": "NaN"}, "sampling_fraction is nan"),
        ({"pii": {}, "exempt": ["x"] * 51}, "exempt has 51 names"),
        ({"pii": {}, "action": "pseudonym", "phases": ["output"]}, "answers have them restored"),
        ({"pii": {"entities": ["PERSON"]}}, "a model of the language alone"),
        ({"pii": {"entities": ["IBAN"]}}, "'IBAN' is unknown; use CREDIT_CARD"),
        ({"keywords": {}}, "keywords.words is required"),
        ({"keywords": {"words": [" "]}}, "a blank word"),
        ({"keywords": {"words": ["x"] * (MAX_WORDS + 1)}}, "has 201 words"),
        ({"keywords": {"words": ["x" * 257]}}, "a word of 257 characters"),
        ({"patterns": {}}, "patterns.expressions is required"),
        ({"patterns": {"expressions": ["x"] * (MAX_EXPRESSIONS + 1)}}, "has 51 expressions"),
        ({"patterns": {"expressions": ["("]}}, r"'\(' cannot be read"),
        ({"patterns": {"expressions": ["(a+)+b"]}}, "repeats without a bound"),
        ({"patterns": {"expressions": ["x"], "entity": "low"}}, "entity 'low' is none"),
        ({"judge": {}}, "endpoint_name is required"),
        ({"judge": JUDGE, "action": "mask"}, "let action be 'block'"),
        ({"judge": {**JUDGE, "form": "oracle"}}, "form 'oracle' is unknown"),
        ({"judge": {**JUDGE, "on_error": "retry"}}, "on_error 'retry' is unknown"),
        ({"judge": {**JUDGE, "timeout_seconds": 90}}, "timeout_seconds is 90; use 0.1 to 60"),
        ({"judge": {**JUDGE, "valid_topics": ["x"]}}, "knows by itself"),
        (
            {"judge": {"endpoint_name": "g", "instructions": "x", "valid_topics": ["y"]}},
            "keep one of them",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused(fields: Json, reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        build_policies([policy(**fields)])


def test_there_are_not_too_many_and_none_twice() -> None:
    with pytest.raises(InvalidParameter, match="at most 20"):
        build_policies([policy(name=f"p{i}", pii={}) for i in range(MAX_POLICIES + 1)])
    with pytest.raises(InvalidParameter, match="2 policies named 'p'"):
        build_policies([policy(pii={})] * 2)


def test_a_setting_names_a_judge() -> None:
    judge = parse_judge("guard:verdict", "X", forms=("llama_guard", "verdict"))
    assert judge is not None
    assert (judge.endpoint_name, judge.form) == ("guard", "verdict")
    assert parse_judge("", "X", forms=("verdict",)) is None
    for wrong in ("guard:oracle", ":verdict"):
        with pytest.raises(ValueError, match="X"):
            parse_judge(wrong, "X", forms=("verdict",))


async def resources(builder: ResourceBuilder, database: Database) -> dict[str, EndpointResource]:
    async with database.read() as session:
        found = (await builder.load(session, EventKind.ENDPOINT, None)).values()
    return {item.name: item for item in found if isinstance(item, EndpointResource)}


@pytest.fixture
async def chat(endpoints: Endpoints) -> None:
    for name in ("chat", "guard"):
        await endpoints.create(ALICE, with_model(name=name))


@pytest.mark.usefixtures("chat")
async def test_safety_needs_a_judge(
    settings: SettingChanges, database: Database, sealer: Sealer, rollout: FakeRollout
) -> None:
    for name in ("safety", "valid_topics"):
        asked = gateway(input={"safety": True} if name == "safety" else {name: ["x"]})
        with pytest.raises(
            InvalidParameter, match=f"'{name}' needs a judge, of which there is none"
        ):
            await settings.put_ai_gateway(ALICE, "chat", asked)
    named = gateway(input={"safety": True}, judge=JUDGE)
    stored = await settings.put_ai_gateway(ALICE, "chat", named)
    assert stored.guardrails.judge.timeout_seconds == 10
    safety = GuardrailJudge(endpoint_name="guard", form="llama_guard")
    judges = DefaultJudges(safety)
    by_default = SettingChanges(database, sealer, rollout, judges=judges)
    await by_default.put_ai_gateway(ALICE, "chat", gateway(input={"safety": True}))
    builder = ResourceBuilder(CredentialResolver(sealer), judges)
    pushed = await resources(builder, database)
    judged = {name: item.HasField("safety_judge") for name, item in pushed.items()}
    assert judged == {"chat": True, "guard": False}
    with pytest.raises(InvalidParameter, match="round in a circle"):
        await by_default.put_ai_gateway(ALICE, "guard", gateway(input={"safety": True}))


@pytest.mark.parametrize(
    ("guardrails", "reason"),
    [
        ({"judge": JUDGE}, "nothing to judge"),
        ({"input": {"valid_topics": ["x"]}, "judge": JUDGE}, "judge of the form 'verdict'"),
        (
            {"input": {"safety": True}, "judge": {"endpoint_name": "g", "instructions": "x"}},
            "are for judges of policies",
        ),
    ],
)
@pytest.mark.usefixtures("chat")
async def test_a_judge_of_guardrails_fits_them(
    settings: SettingChanges, guardrails: Json, reason: str
) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        await settings.put_ai_gateway(ALICE, "chat", gateway(**guardrails))


@pytest.mark.usefixtures("chat")
async def test_a_judge_exists_and_may_be_queried(
    settings: SettingChanges, endpoints: Endpoints, database: Database
) -> None:
    with pytest.raises(InvalidParameter, match="'ghost' does not exist, or you may not query it"):
        await settings.put_policies(ALICE, "chat", [policy(judge={"endpoint_name": "ghost"})])
    await share(database, "chat", BOB, Level.CAN_MANAGE)
    with pytest.raises(InvalidParameter, match="'guard' does not exist, or you may not query it"):
        await settings.put_policies(BOB, "chat", [policy(judge=JUDGE)])
    await settings.put_policies(ALICE, "chat", [policy(judge=JUDGE)])
    # Whoever sets the rest keeps it.
    assert await settings.put_policies(BOB, "chat", [policy(rank=7, judge=JUDGE)])
    with pytest.raises(PermissionDenied):
        await share(database, "guard", BOB, Level.CAN_QUERY)
        await settings.put_policies(BOB, "guard", [])
    vectors = openai_entity(task="llm/v1/embeddings", model="text-embedding-3-small", **KEY)
    await endpoints.create(ALICE, request("vectors", config={"served_entities": [vectors]}))
    with pytest.raises(InvalidParameter, match="serves an external model for llm/v1/embeddings"):
        await settings.put_policies(ALICE, "chat", [policy(judge={"endpoint_name": "vectors"})])
    moderation = {"endpoint_name": "guard", "form": "moderation"}
    with pytest.raises(InvalidParameter, match="cannot be asked in the form 'moderation'"):
        await settings.put_policies(ALICE, "chat", [policy(judge=moderation)])


@pytest.mark.usefixtures("chat")
async def test_judges_do_not_ask_round_in_a_circle(
    settings: SettingChanges, endpoints: Endpoints
) -> None:
    with pytest.raises(InvalidParameter, match="circle, by way of 'chat'"):
        await settings.put_policies(ALICE, "chat", [policy(judge={"endpoint_name": "chat"})])
    await endpoints.create(ALICE, with_model(name="third"))
    await settings.put_policies(ALICE, "chat", [policy(judge=JUDGE)])
    await settings.put_policies(ALICE, "guard", [policy(judge={"endpoint_name": "third"})])
    with pytest.raises(InvalidParameter, match="circle, by way of 'chat'"):
        await settings.put_policies(ALICE, "third", [policy(judge={"endpoint_name": "chat"})])


@pytest.mark.usefixtures("chat")
async def test_the_exempt_exist(settings: SettingChanges) -> None:
    with pytest.raises(InvalidParameter, match="no user, group or service principal 'nobody'"):
        await settings.put_policies(ALICE, "chat", [policy(pii={}, exempt=["nobody"])])


@pytest.mark.usefixtures("chat")
async def test_policies_are_not_too_large(settings: SettingChanges) -> None:
    words = [f"{i:04}{'x' * 252}" for i in range(MAX_WORDS)]
    many = [policy(name=f"p{i}", keywords={"words": words}) for i in range(2)]
    with pytest.raises(InvalidParameter, match="at most 65536 are allowed"):
        await settings.put_policies(ALICE, "chat", many)


@pytest.mark.usefixtures("chat")
async def test_pseudonyms_have_a_key_that_stays(
    settings: SettingChanges, endpoints: Endpoints, database: Database, sealer: Sealer
) -> None:
    builder = ResourceBuilder(CredentialResolver(sealer))

    async def key() -> bytes:
        return (await resources(builder, database))["chat"].pseudonym_key

    await settings.put_policies(ALICE, "chat", [policy(pii={})])
    assert await key() == b""
    hiding = [policy(pii={}, action="pseudonym")]
    await settings.put_policies(ALICE, "chat", hiding)
    first = await key()
    assert len(first) == 32
    assert list((await settings.get_policies(ALICE, "chat"))[0].phases) == ["input"]
    # Versions that are forgotten take their credentials with them, and not this.
    async with database.write() as transaction:
        record = await endpoints.get(ALICE, "chat")
        await changes.prune_versions(transaction, record.id, record.last_version, 0)
    await settings.put_policies(ALICE, "chat", hiding)
    assert await key() == first


REDACTED: Json = {
    "inference_table_config": {
        "enabled": True,
        "catalog_name": "main",
        "schema_name": "logs",
        "redact": "masked",
    }
}


@pytest.mark.usefixtures("chat")
async def test_a_redacted_table_needs_what_looks_through_requests(
    database: Database, sealer: Sealer, rollout: FakeRollout
) -> None:
    settings = SettingChanges(database, sealer, rollout, tables=True)
    table = json_format.ParseDict(REDACTED, AiGatewayConfig())
    useless = [policy(pii={}, phases=["output"]), policy(name="q", pii={}, mode="log")]
    for policies in ([], useless):
        await settings.put_policies(ALICE, "chat", policies)
        with pytest.raises(InvalidParameter, match="nothing would look through requests"):
            await settings.put_ai_gateway(ALICE, "chat", table)
    await settings.put_policies(ALICE, "chat", [*useless, policy(name="mask", pii={})])
    await settings.put_ai_gateway(ALICE, "chat", table)
    for policies in ([], useless):
        with pytest.raises(InvalidParameter, match="or let redact be 'none'"):
            await settings.put_policies(ALICE, "chat", policies)
    assert len(await settings.get_policies(ALICE, "chat")) == 3
    # Guardrails may take their place, where they look for anything.
    idle = gateway(input={"pii": {"behavior": "NONE"}})
    idle.MergeFrom(table)
    await settings.put_ai_gateway(ALICE, "chat", idle)
    with pytest.raises(InvalidParameter, match="nothing would look through requests"):
        await settings.put_policies(ALICE, "chat", [])
    both = gateway(input={"pii": {"behavior": "MASK"}})
    both.MergeFrom(table)
    await settings.put_ai_gateway(ALICE, "chat", both)
    await settings.put_policies(ALICE, "chat", [])
    with pytest.raises(InvalidParameter, match="nothing would look through requests"):
        await settings.put_ai_gateway(ALICE, "chat", table)
