"""All providers' emulators at once, and where the system finds them.

Which there are, and what each stands in for, is said by the conformance cases of each provider
(`tests/adapters/providers/conformance.py`), so that a new provider is here as soon as it has some.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from modelplane.adapters.providers.registry import FACTORIES
from tests.adapters.providers.conformance import cases_of
from tests.e2e.system import wait_for
from tests.emulators.emulator import Emulator, running_in_thread

# Base URLs of OpenAI and Azure as the product's documents print them, or imply them.
_OPENAI_ORIGINS = ("https://api.openai.com", "https://my-azure-openai-endpoint.openai.azure.com")


@dataclass(frozen=True, slots=True)
class Fleet:
    """The running emulators, by provider."""

    emulators: Mapping[str, Emulator]

    @property
    def origins(self) -> Mapping[str, str]:
        """What to connect to in the place of each origin of a provider."""
        origins = dict.fromkeys(_OPENAI_ORIGINS, self.emulators["openai"].origin)
        for provider, emulator in self.emulators.items():
            for case in cases_of(provider):
                origins.update(case.origins(emulator.origin))
        return origins

    def forget(self) -> None:
        """Let all emulators behave again, and forget the requests so far.

        A caller who has left is heard of a moment later: what a test has left is waited for, so
        that the next one does not count it.
        """
        wait_for(lambda: not any(each.under_way for each in self.emulators.values()))
        for emulator in self.emulators.values():
            emulator.forget()


@contextmanager
def running_fleet() -> Iterator[Fleet]:
    """Run an emulator for each provider of the registry until the block ends."""
    with ExitStack() as stack:
        yield Fleet(
            {
                provider: stack.enter_context(running_in_thread(partial(_new, provider)))
                for provider in FACTORIES
            }
        )


def _new(provider: str) -> Emulator:
    cases = cases_of(provider)
    assert cases, f"{provider} has no conformance cases"
    emulator = cases[0].emulator()
    assert isinstance(emulator, Emulator)
    return emulator
