"""What `modelplane doctor` finds, but for the deployment that it asks."""

import asyncio
import json
import os
import socket
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf import json_format

from modelplane.adapters.providers.registry import FACTORIES
from modelplane.control_plane.secrets.encryption import Sealer
from modelplane.control_plane.secrets.keyring import FixedKeys
from modelplane.control_plane.store.database import Database
from modelplane.deploy.certificates import CertificateDir
from modelplane.deploy.command.api.session import Session
from modelplane.deploy.command.doctor import certificates, clock, database, egress, machine
from modelplane.deploy.command.doctor.findings import Finding, Level, Patient
from modelplane.deploy.command.doctor.upstreams import origins_of
from tests.adapters.providers.conformance import cases_of
from tests.control_plane.secrets.test_credentials import keep_secret

KEY = b"k" * 32
Check = Callable[[Patient], Iterator[Finding]]


def patient(directory: Path, port: int = 0, **environ: str) -> Patient:
    given = Namespace(profile="", url="http://127.0.0.1:1", data_dir="", output="table")
    session = Session(given, {"MODELPLANE_TOKEN": "t", **environ})
    return Patient(session, directory, "127.0.0.1", port)


def worst(check: Check, one: Patient) -> Finding:
    order = list(Level)
    return max(check(one), key=lambda finding: order.index(finding.level))


def test_a_port_that_is_taken_is_a_problem(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        found = worst(machine.check_port, patient(tmp_path, taken.getsockname()[1]))
    assert (found.level, "another --port" in found.advice) == (Level.PROBLEM, True)
    assert worst(machine.check_port, patient(tmp_path)).level == Level.OK


def test_a_deployment_that_runs_and_does_not_answer_is_a_problem(tmp_path: Path) -> None:
    state = {"url": "http://127.0.0.1:1", "pid": os.getpid(), "logs": "/where"}
    (tmp_path / "up.json").write_text(json.dumps(state))
    found = worst(machine.check_port, patient(tmp_path))
    assert (found.level, found.advice) == (Level.PROBLEM, "look into the logs in /where")
    # One that was killed leaves the file.
    (tmp_path / "up.json").write_text(json.dumps(state | {"pid": 2**22 + 1}))
    assert worst(machine.check_port, patient(tmp_path)).level == Level.OK


def test_envoy_runs_or_what_to_do_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = worst(machine.check_envoy, patient(tmp_path))
    assert (found.level, "version 1." in found.text) == (Level.OK, True)
    monkeypatch.setattr(machine, "envoy_path", lambda: tmp_path / "none")
    assert worst(machine.check_envoy, patient(tmp_path)).level == Level.PROBLEM


def test_a_data_directory_that_others_can_use_is_a_problem(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    found = worst(machine.check_directory, patient(tmp_path))
    assert (found.level, found.advice) == (Level.PROBLEM, f"run: chmod 700 {tmp_path}")
    tmp_path.chmod(0o700)
    assert worst(machine.check_directory, patient(tmp_path)).level == Level.OK
    assert worst(machine.check_directory, patient(tmp_path / "none")).level == Level.OK


def test_a_disk_without_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, level in ((100, Level.PROBLEM), (2_000, Level.WARNING), (90_000, Level.OK)):
        usage = Namespace(free=free << 20)
        monkeypatch.setattr("shutil.disk_usage", lambda _place, usage=usage: usage)
        assert worst(machine.check_disk, patient(tmp_path / "a" / "b")).level == level


def test_few_open_files_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _which: (1024, 4096))
    found = worst(machine.check_open_files, patient(tmp_path))
    assert (found.level, "2048 connections" in found.text) == (Level.WARNING, True)


def test_what_is_not_there_yet_is_made_at_the_first_start(tmp_path: Path) -> None:
    assert {one.level for one in database.check_database(patient(tmp_path))} == {Level.OK}


def test_a_database_whose_master_key_is_lost_is_a_problem(
    migrated_sqlite_url: str, tmp_path: Path
) -> None:
    async def seal() -> None:
        store = Database(migrated_sqlite_url)
        try:
            await keep_secret(store, Sealer(FixedKeys(KEY)), "scope", "key", b"value")
        finally:
            await store.aclose()

    asyncio.run(seal())
    one = patient(tmp_path / "data", MODELPLANE_DATABASE_URL=migrated_sqlite_url)
    found = worst(database.check_database, one)
    assert (found.subject, found.level) == ("master key", Level.PROBLEM)
    assert "is not here" in found.text
    key = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s="
    one = patient(
        tmp_path / "data", MODELPLANE_DATABASE_URL=migrated_sqlite_url, MODELPLANE_MASTER_KEY=key
    )
    assert worst(database.check_database, one).level == Level.OK


def test_postgresql_and_its_clock(migrated_postgresql_url: str, tmp_path: Path) -> None:
    one = patient(tmp_path, MODELPLANE_DATABASE_URL=migrated_postgresql_url)
    server, schema, key = database.check_database(one)
    assert "takes 200 connections" in server.text
    assert schema.text == "it has the schema of this release"
    assert {server.level, schema.level, key.level} == {Level.OK}
    assert [abs(offset) < 60 for offset in one.offsets.values()] == [True]


def test_postgresql_that_cannot_be_used(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = patient(tmp_path, MODELPLANE_DATABASE_URL="postgresql://x:secret@127.0.0.1:1/x")
    found = worst(database.check_database, away)
    assert (found.level, "127.0.0.1:1" in found.text) == (Level.PROBLEM, True)
    assert "secret" not in found.text
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/x"
        monkeypatch.setattr(database, "_SECONDS", 0.1)
        mute = worst(database.check_database, patient(tmp_path, MODELPLANE_DATABASE_URL=url))
    assert "takes too long" in mute.text
    monkeypatch.undo()
    wrong = patient(tmp_path, MODELPLANE_DATABASE_URL="mysql://x")
    assert worst(database.check_database, wrong).level == Level.PROBLEM
    empty = patient(tmp_path, MODELPLANE_DATABASE_URL=postgres_url)
    assert any("first start makes" in one.text for one in database.check_database(empty))


@pytest.mark.parametrize(
    ("days_ago", "level"),
    [(0, Level.OK), (355, Level.WARNING), (400, Level.PROBLEM), (-10, Level.PROBLEM)],
)
def test_certificates_end(tmp_path: Path, days_ago: int, level: Level) -> None:
    CertificateDir(tmp_path / "tls").ensure(
        ["127.0.0.1"], datetime.now(UTC) - timedelta(days=days_ago)
    )
    assert worst(certificates.check_certificates, patient(tmp_path)).level == level


def test_a_certificate_that_is_none_is_a_problem(tmp_path: Path) -> None:
    one = patient(tmp_path, MODELPLANE_TLS_CA=str(tmp_path / "no.crt"))
    assert "No such file" in worst(certificates.check_certificates, one).text


@pytest.mark.parametrize(
    ("offset", "level"), [(0.4, Level.OK), (-20.0, Level.WARNING), (400.0, Level.PROBLEM)]
)
def test_a_clock_that_is_wrong_is_told(tmp_path: Path, offset: float, level: Level) -> None:
    one = patient(tmp_path)
    one.offsets |= {"a": offset, "b": offset, "liar": 9000.0}
    assert worst(clock.check_clock, one).level == level
    assert worst(clock.check_clock, patient(tmp_path)).level == Level.SKIPPED


@pytest.mark.parametrize("provider", sorted(FACTORIES))
def test_where_each_provider_is_called_is_known_without_its_credential(provider: str) -> None:
    for case in cases_of(provider):
        model = case.model("https://upstream.example.com")
        shown = json_format.MessageToDict(model, preserving_proto_field_name=True)
        [config] = [value for name, value in shown.items() if name.endswith("_config")]
        for name in [name for name in config if name.endswith("_plaintext")]:
            del config[name]
            config[name.removesuffix("_plaintext")] = "{{secrets/scope/key}}"
        entity = {"name": "m", "external_model": shown}
        found = origins_of([{"name": "e", "config": {"served_entities": [entity]}}])
        assert list(found.values()) == [["e/m"]]
        assert all(origin.startswith(("http://", "https://")) for origin in found), case


def test_a_provider_that_cannot_be_called_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def origins(*used: str) -> None:
        monkeypatch.setattr(egress, "origins_of", lambda _all: {one: ["e/m"] for one in used})

    monkeypatch.setattr(egress, "list_endpoints", lambda _session: [])
    origins("https://provider.invalid")
    assert "not found by its name" in worst(egress.check_egress, patient(tmp_path)).text
    origins("http://127.0.0.1:1")
    found = worst(egress.check_egress, patient(tmp_path))
    assert "MODELPLANE_ALLOWED_UPSTREAMS=127.0.0.1:1" in found.advice
    allowed = patient(tmp_path, MODELPLANE_ALLOWED_UPSTREAMS="127.0.0.1")
    assert "refused" in worst(egress.check_egress, allowed).text
    own = patient(tmp_path, MODELPLANE_OWN_ADDRESSES="127.0.0.1:1")
    assert "ALLOWED_UPSTREAMS" not in worst(egress.check_egress, own).advice
    origins("")
    assert worst(egress.check_egress, patient(tmp_path)).level == Level.SKIPPED
    wrong = patient(tmp_path, MODELPLANE_UPSTREAM_ORIGINS="x")
    assert worst(egress.check_egress, wrong).level == Level.PROBLEM
