"""The deployment and the providers that the pages are about; `conftest.py` gives them to the tests.

Providers are the emulators, in the place of the hosts that the pages name.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.docs.blocks import README
from tests.docs.session import Session
from tests.e2e.rest import Json, Rest
from tests.e2e.system import System, run_system
from tests.emulators import (
    ai21labs,
    amazon_bedrock,
    anthropic,
    cohere,
    databricks_model_serving,
    openai,
)
from tests.emulators.fleet import Fleet
from tests.emulators.google_cloud_vertex_ai.keys import KEY_FILE, PROJECT
from tests.emulators.openai import entra
from tests.postgres import carried_programs

SCOPES = "/api/2.0/secrets/scopes"
ENDPOINTS = "/api/2.0/serving-endpoints"
# Hosts that the pages name and no emulator stands for by itself, by the provider behind them.
_HOSTS = {
    "http://vllm.internal:8000": "openai",
    "https://models.example.com": "openai",
    "https://other.cloud.databricks.com": "databricks-model-serving",
}
# Names of the pages, and those of the emulators.
_NAMES = {"my-project": PROJECT}
# The credentials that readers have in their environment.
_CREDENTIALS = {
    "OPENAI_API_KEY": openai.API_KEY,
    "AZURE_OPENAI_API_KEY": openai.API_KEY,
    "AZURE_CLIENT_SECRET": entra.CLIENT_SECRET,
    "ANTHROPIC_API_KEY": anthropic.API_KEY,
    "COHERE_API_KEY": cohere.API_KEY,
    "AI21_API_KEY": ai21labs.API_KEY,
    "AWS_ACCESS_KEY_ID": amazon_bedrock.KEY.key_id,
    "AWS_SECRET_ACCESS_KEY": amazon_bedrock.KEY.secret,
    "OTHER_DATABRICKS_TOKEN": databricks_model_serving.TOKEN,
}
_PROGRAMS = [str(Path(sys.executable).parent), *map(str, filter(None, [carried_programs()]))]
_QUERIES: Mapping[str, Json] = {
    "llm/v1/chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "llm/v1/completions": {"prompt": "Hello"},
    "llm/v1/embeddings": {"input": "Hello"},
}


@dataclass(frozen=True, slots=True)
class World:
    """A running deployment with a local model, as `make run` leaves it, and its providers."""

    system: System
    settings: Mapping[str, str]
    chat: Json

    @contextmanager
    def reader(
        self, page: Path, directory: Path, variables: Mapping[str, str]
    ) -> Iterator[Session]:
        """Give a session for a page, with everything as it is after the quick start.

        Args:
            page: The page.
            directory: Where the reader works; made here.
            variables: Further variables of the reader's environment.
        """
        directory.mkdir()
        (directory / ".modelplane").symlink_to(self.system.data_dir)
        (directory / "key-file.json").write_text(KEY_FILE)
        address = self.system.target
        environment = {
            "PATH": ":".join((*_PROGRAMS, os.defpath)),
            "HOME": str(directory),
            "NO_PROXY": "*",
            **_CREDENTIALS,
            **self.settings,
            **variables,
        }
        # The quick start itself puts the secret.
        self._start_anew(with_secret=page != README)
        if page != README:
            environment |= {"URL": self.system.url, "TOKEN": self.system.token}
        with closing(Session(directory, environment, address, _NAMES)) as session:
            yield session

    def fill(self, database_url: str, directory: Path) -> None:
        """Run a deployment on an empty database until it has what the quick start makes, too.

        Args:
            database_url: The database.
            directory: Of its data, with the master key of this one; made here.
        """
        directory.mkdir()
        shutil.copy2(self.system.data_dir / "master-key", directory)
        settings = {**self.settings, "MODELPLANE_DATABASE_URL": database_url}
        run = run_system(directory, "--no-hosting", workers=1, settings=settings)
        with run as system, Rest(system) as rest:
            rest.call("POST", ENDPOINTS, self.chat)

    def create(self, token: str, url: str, body: Json) -> None:
        """Create an endpoint and query it, whatever its task."""
        system = System(url, "", token, Path())
        with Rest(system) as rest:
            made = rest.call("POST", ENDPOINTS, body)
            assert made["state"]["ready"] == "READY", made
            for entity in made["config"]["served_entities"]:
                task = entity["external_model"]["task"]
                path = f"/serving-endpoints/{body['name']}/served-models/{entity['name']}"
                rest.call("POST", f"{path}/invocations", _QUERIES[task])

    def _start_anew(self, *, with_secret: bool) -> None:
        with Rest(self.system) as rest:
            for endpoint in rest.call("GET", ENDPOINTS)["endpoints"]:
                if "id" in endpoint:
                    rest.call("DELETE", f"{ENDPOINTS}/{endpoint['name']}")
            for scope in rest.call("GET", f"{SCOPES}/list")["scopes"]:
                rest.call("POST", f"{SCOPES}/delete", {"scope": scope["name"]})
            if with_secret:
                rest.call("POST", ENDPOINTS, self.chat)
                rest.call("POST", f"{SCOPES}/create", {"scope": "openai"})
                secret = {"scope": "openai", "key": "key", "string_value": openai.API_KEY}
                rest.call("POST", "/api/2.0/secrets/put", secret)


@contextmanager
def running_world(directory: Path, fleet: Fleet) -> Iterator[World]:
    """Run the deployment until the block ends."""
    hosts = {host: fleet.emulators[provider].origin for host, provider in _HOSTS.items()}
    pairs = {**fleet.origins, **hosts}
    settings = {
        "MODELPLANE_UPSTREAM_ORIGINS": ",".join(f"{one}={two}" for one, two in pairs.items()),
        # Nothing that matters is in flight when a deployment ends.
        "MODELPLANE_DRAIN_SECONDS": "1",
        "MODELPLANE_FOUNDATION_MODELS": "default",
    }
    chat = {
        "name": "chat",
        "config": {
            "served_entities": [
                {
                    "name": "gpt",
                    "external_model": {
                        "name": "gpt-4o-mini",
                        "provider": "openai",
                        "task": "llm/v1/chat",
                        "openai_config": {"openai_api_key_plaintext": openai.API_KEY},
                    },
                }
            ]
        },
    }
    # Without a token in its environment, `up` makes one and keeps it, as for its users.
    run = run_system(directory / "data", settings={**settings, "MODELPLANE_ADMIN_TOKEN": ""})
    with run as system:
        token = (system.data_dir / "admin-token").read_text().strip()
        own = System(system.url, system.target, token, system.data_dir)
        yield World(own, settings, chat)
