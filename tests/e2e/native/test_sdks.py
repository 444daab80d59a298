"""Each official SDK at each of its addresses, against every model that chats at every provider.

What is proved for requests alone in `test_any_to_any.py`; the SDKs read every answer and event.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

import pytest

from tests.adapters.providers.conformance import ProviderCase
from tests.e2e.native.sdks import SDKS, Refused, Sdk
from tests.e2e.native.test_any_to_any import CHATS, SAID, TOOL, endpoints, left
from tests.e2e.rest import Rest
from tests.e2e.system import System, wait_for
from tests.emulators.fleet import Fleet

__all__ = ["endpoints"]
ADDRESSES = [(name, prefix) for name, sdk in SDKS.items() for prefix in sdk.prefixes]
# One address of each SDK, and what stands for all providers: the rest is for the long run.
FIRST = {(name, sdk.prefixes[-1]) for name, sdk in SDKS.items()}
Use = Callable[[Sdk, str], str]
USES: Mapping[str, Use] = {
    "whole": lambda sdk, model: sdk.ask(model, SAID),
    "stream": lambda sdk, model: sdk.stream(model, SAID),
    "tool": lambda sdk, model: sdk.use(model, TOOL, streams=False),
    "streamed tool": lambda sdk, model: sdk.use(model, TOOL, streams=True),
    "image": lambda sdk, model: sdk.show(model),
    "thinking": lambda sdk, model: sdk.think(model, SAID),
}
# What the SDKs do most of by themselves.
SHORT = ("streamed tool", "image")
# What a refusal names where a model, or its provider, has no such thing.
NAMED = ("tool", "stream", "image", "texts only", "think", "reason")


@pytest.fixture(
    params=[
        pytest.param(one, id="".join(one), marks=() if one in FIRST else pytest.mark.long)
        for one in ADDRESSES
    ]
)
def sdk(request: pytest.FixtureRequest, running_system: System, fleet: Fleet) -> Iterator[Sdk]:
    """Give an SDK at an address."""
    fleet.forget()
    name, prefix = request.param
    yield SDKS[name](f"{running_system.url}{prefix}", running_system.token)
    fleet.forget()


@pytest.mark.parametrize(
    "use", [pytest.param(use, marks=() if use in SHORT else pytest.mark.long) for use in USES]
)
def test_it_is_answered_or_told_why_not(sdk: Sdk, endpoints: Mapping[str, str], use: str) -> None:
    answered: set[str] = set()
    for case in CHATS:
        if told_why_not(partial(USES[use], sdk, endpoints[case.name]), case.name):
            continue
        answered.add(case.provider)
    assert {"anthropic", "google-cloud-vertex-ai"} <= answered
    if use in ("whole", "tool"):
        assert answered == {case.provider for case in CHATS}


def told_why_not(ask: Callable[[], str], case: str) -> bool:
    """Ask, and tell whether that was refused by the name of what the model has not."""
    refusal: Refused | None = None
    try:
        assert ask(), case
    except Refused as error:
        refusal = error
    assert refusal is None or refusal.status == 400, (case, refusal)
    assert refusal is None or any(word in str(refusal).lower() for word in NAMED), (case, refusal)
    return refusal is not None


@pytest.mark.long
def test_an_error_is_one(sdk: Sdk, endpoints: Mapping[str, str], fleet: Fleet) -> None:
    with pytest.raises(Refused, match="endpoint does not exist") as unknown:
        sdk.ask("nobody", SAID)
    assert unknown.value.status == 404
    for emulator in fleet.emulators.values():
        emulator.fail(status=429)
    for case in CHATS:
        for ask in (sdk.ask, sdk.stream) if case.streams else (sdk.ask,):
            with pytest.raises(Refused) as refused:
                ask(endpoints[case.name], SAID)
            assert refused.value.status == 429, case.name


@pytest.mark.long
def test_who_goes_away_is_not_waited_for(
    sdk: Sdk, running_system: System, endpoints: Mapping[str, str], fleet: Fleet
) -> None:
    streaming: list[ProviderCase] = [case for case in CHATS if case.streams]
    with Rest(running_system) as rest:
        before = left(rest)
        for emulator in fleet.emulators.values():
            emulator.misbehave("stall_stream", after_events=4)
        for case in streaming:
            sdk.leave(endpoints[case.name], SAID)
        gone = Counter(endpoints[case.name] for case in streaming)
        wait_for(lambda: left(rest) >= before + gone)
