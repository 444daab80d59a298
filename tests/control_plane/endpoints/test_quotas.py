import pytest
from sqlmodel import select

from modelplane.control_plane.endpoints.config_history import ConfigHistory
from modelplane.control_plane.endpoints.lifecycle import Endpoints
from modelplane.control_plane.endpoints.quotas import Quotas
from modelplane.control_plane.errors import LimitExceeded, NotFound, QuotaExceeded
from modelplane.control_plane.principal import Principal
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.store.database import Database
from modelplane.control_plane.store.tables import CredentialRow, EndpointConfigRow
from tests.control_plane.configs import config_input, openai_entity
from tests.control_plane.conftest import ALICE, FakeClock
from tests.control_plane.endpoints.test_lifecycle import KEY, request, with_model
from tests.control_plane.rollouts import FakeRollout

BOB = Principal("bob-id", "bob")


@pytest.fixture
def endpoints(
    database: Database, sealer: Sealer, rollout: FakeRollout, clock: FakeClock
) -> Endpoints:
    return Endpoints(database, sealer, rollout, clock, quotas=Quotas(4, 2, 3))


async def test_a_creator_has_a_quota_and_administrators_have_that_of_all(
    endpoints: Endpoints,
) -> None:
    for name in ("a", "b"):
        await endpoints.create(BOB, request(name))
    with pytest.raises(QuotaExceeded, match="You have 2 endpoints already"):
        await endpoints.create(BOB, request("c"))
    for name in ("c", "d"):
        await endpoints.create(ALICE, request(name))
    with pytest.raises(LimitExceeded, match="raise MODELPLANE_MAX_ENDPOINTS"):
        await endpoints.create(ALICE, request("e"))
    await endpoints.delete(BOB, "a")
    await endpoints.create(BOB, request("e"))


async def test_old_versions_go_with_their_credentials_and_what_serves_stays(
    database: Database, endpoints: Endpoints, rollout: FakeRollout
) -> None:
    await endpoints.create(ALICE, with_model())
    rollout.refusal = "no"
    for number in range(6):
        changed = config_input(openai_entity(model=f"m{number}", **KEY))
        await endpoints.update_config(ALICE, "chat", changed)
    history = ConfigHistory(database)
    # The first one serves still, since all others were refused.
    listed = [version.version async for version in history.list_all(ALICE, "chat")]
    assert listed == [7, 6, 5, 1]
    with pytest.raises(NotFound):
        await history.get(ALICE, "chat", 4)
    async with database.read() as session:
        kept = (await session.exec(select(CredentialRow.version))).all()
        assert sorted(kept) == [1, 5, 6, 7]
        assert len((await session.exec(select(EndpointConfigRow))).all()) == 4
