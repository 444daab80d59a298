"""What must never be seen: keys, tokens and prompts, in logs, in answers or in the database."""

from pathlib import Path

import requests

from tests.e2e.rest import ENDPOINTS, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.emulators.openai import OpenAiEmulator
from tests.emulators.openai.faults import error_body

KEY = "sk-plaintext-that-must-stay-secret"
SECRET = "sk-stored-that-must-stay-secret"
PROMPT = "prompt-that-must-stay-private"
STRANGER = "dapi-token-of-a-stranger"


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_nothing_confidential_is_logged_or_stored(
    system: System, rest: Rest, provider: OpenAiEmulator, anonymous: requests.Session
) -> None:
    rest.call("POST", "/api/2.0/secrets/scopes/create", {"scope": "hidden"})
    stored = {"scope": "hidden", "key": "key", "string_value": SECRET}
    rest.call("POST", "/api/2.0/secrets/put", stored)
    plain = entity(provider, "plain")
    del plain["external_model"]["openai_config"]["openai_api_key"]
    plain["external_model"]["openai_config"]["openai_api_key_plaintext"] = KEY
    referring = entity(provider, "referring", openai_api_key="{{secrets/hidden/key}}")
    made = rest.create(endpoint("hidden", plain, referring))

    ids = []
    body = {"messages": [{"role": "user", "content": PROMPT}]}
    for served in ("plain", "referring"):
        for query in (body, body | {"stream": True}, body | {"messages": PROMPT}):
            path = f"/serving-endpoints/hidden/served-models/{served}/invocations"
            answer = rest.send("POST", path, query)
            assert KEY not in answer.text
            assert SECRET not in answer.text
            ids.append(answer.headers["x-request-id"])
    provider.fail("gpt-4", status=400, body=error_body(f"bad prompt: {PROMPT} {KEY}"))
    assert KEY not in rest.query("hidden", body).text
    provider.fail("gpt-4", status=500, body=error_body(f"bad prompt: {PROMPT} {KEY}"))
    assert KEY not in rest.query("hidden", body).text
    anonymous.get(
        f"{system.url}{ENDPOINTS}?{PROMPT}", headers={"Authorization": f"Bearer {STRANGER}"}
    )
    assert KEY not in str(made) + str(rest.call("GET", ENDPOINTS))

    logs = system.data_dir / "logs"
    wait_for(lambda: ids[-1].encode() in b"".join(contents(logs).values()))
    for path, text in contents(logs).items():
        for confidential in (KEY, SECRET, PROMPT, STRANGER, system.token):
            assert confidential.encode() not in text, (path, confidential)
    for path, text in contents(system.data_dir).items():
        for confidential in (KEY, SECRET, PROMPT):
            assert confidential.encode() not in text, (path, confidential)
    rest.call("DELETE", f"{ENDPOINTS}/hidden")
    rest.call("POST", "/api/2.0/secrets/scopes/delete", {"scope": "hidden"})


def test_files_are_readable_by_their_owner_only(system: System) -> None:
    assert system.data_dir.stat().st_mode & 0o077 == 0
    for name in ("master-key", "tls/ca.key", "tls/worker.key", "tls/control-plane.key"):
        assert (system.data_dir / name).stat().st_mode & 0o077 == 0
