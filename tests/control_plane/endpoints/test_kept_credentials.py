"""An update keeps the credentials that nobody can read back, and sends them nowhere else."""

import pytest
from modelserving.v1.endpoint_pb2 import EndpointConfigInput
from modelserving.v1.external_model_pb2 import ExternalModel

from modelplane.control_plane.endpoints import kept_credentials
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.store.database import Database
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE
from tests.control_plane.endpoints.test_lifecycle import key_of, request, with_model

BASE = "https://models.example.com/v1"
KEY = {"openai_api_key_plaintext": "sk-1", "openai_api_base": BASE}


def entity(name: str = "chat", model: str = "gpt-4", **config: str) -> dict[str, object]:
    """Return an entity as clients have it: without the credential."""
    found = openai_entity(name, model=model, openai_api_base=BASE)
    found["external_model"]["openai_config"] |= config  # type: ignore[index]
    return found


def keeping(*entities: dict[str, object], of: tuple[str, ...] = ("chat",)) -> EndpointConfigInput:
    shares = [100, *[0] * (len(entities) - 1)]
    routes = [
        {"served_entity_name": one["name"], "traffic_percentage": share}
        for one, share in zip(entities, shares, strict=True)
    ]
    return config_input(*entities, traffic_config={"routes": routes}, keep_credentials_of=list(of))


async def test_a_kept_credential_serves_on_and_is_sealed_anew(
    endpoints: Endpoints, database: Database, sealer: Sealer
) -> None:
    config = {"served_entities": [openai_entity(**KEY)]}
    await endpoints.create(ALICE, request("chat", config=config))
    # Another model of the same provider, and one more entity beside it.
    other = openai_entity("other", openai_api_key_plaintext="sk-2")
    record = await endpoints.update_config(ALICE, "chat", keeping(entity(model="gpt-4o"), other))
    assert record.active is not None
    assert record.active.version == 2
    assert record.active.config.served_entities[0].external_model.name == "gpt-4o"
    assert await key_of(database, sealer, 2) == "sk-1"
    # And from that version to the next one.
    await endpoints.update_config(ALICE, "chat", keeping(entity()))
    assert await key_of(database, sealer, 3) == "sk-1"


@pytest.mark.parametrize(
    ("changed", "of"),
    [
        (entity(openai_api_base="https://elsewhere.example.com/v1"), ("chat",)),
        (entity(openai_organization="another"), ("chat",)),
        # It has one of its own.
        (entity(openai_api_key_plaintext="sk-2"), ("chat",)),
        (entity("renamed"), ("renamed",)),
        (entity(), ("chat", "none")),
    ],
)
async def test_a_credential_goes_nowhere_else(
    endpoints: Endpoints,
    database: Database,
    sealer: Sealer,
    changed: dict[str, object],
    of: tuple[str, ...],
) -> None:
    config = {"served_entities": [openai_entity(**KEY)]}
    await endpoints.create(ALICE, request("chat", config=config))
    with pytest.raises(InvalidParameter, match="keep_credentials_of: ") as raised:
        await endpoints.update_config(ALICE, "chat", keeping(changed, of=of))
    assert "sk-1" not in str(raised.value)
    assert await key_of(database, sealer, 1) == "sk-1"


async def test_a_name_that_stands_there_often_costs_once(
    endpoints: Endpoints, database: Database, sealer: Sealer, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[str] = []
    real = kept_credentials._place

    def place(model: ExternalModel) -> ExternalModel:
        compared.append(model.name)
        return real(model)

    monkeypatch.setattr(kept_credentials, "_place", place)
    config = {"served_entities": [openai_entity(**KEY)]}
    await endpoints.create(ALICE, request("chat", config=config))
    await endpoints.update_config(ALICE, "chat", keeping(entity(), of=("chat",) * 1000))
    assert await key_of(database, sealer, 2) == "sk-1"
    assert len(compared) == 2


async def test_where_there_is_nothing_to_keep_it_is_said(endpoints: Endpoints) -> None:
    with pytest.raises(InvalidParameter, match="'chat' is no entity of this configuration"):
        await endpoints.create(
            ALICE,
            request("new", config={"served_entities": [entity()], "keep_credentials_of": ["chat"]}),
        )
    await endpoints.create(ALICE, request("empty"))
    with pytest.raises(InvalidParameter, match="'chat' is no entity of this configuration"):
        await endpoints.update_config(ALICE, "empty", keeping(entity()))
    await endpoints.create(ALICE, with_model("serving"))
    # A split alone keeps all of them unasked.
    split = config_input(
        traffic_config={"routes": [{"served_entity_name": "chat", "traffic_percentage": 100}]},
        keep_credentials_of=["chat"],
    )
    with pytest.raises(InvalidParameter, match="has no served_entities"):
        await endpoints.update_config(ALICE, "serving", split)
