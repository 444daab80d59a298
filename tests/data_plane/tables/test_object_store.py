"""Tables in an object store: commits are conditional writes, of which the service refuses one.

Whoever writes is a process of its own, as in a deployment: `deltalake` lets no other thread run
while it waits.
"""

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.emulators.amazon_bedrock.signature import TEMPORARY_KEY
from tests.emulators.amazon_s3_store import S3Store
from tests.emulators.emulator import running_in_thread

_BEGIN = """
from datetime import date
from modelplane.data_plane.tables.delta import DeltaTables
from modelplane.deploy.command.query import ask
from tests.data_plane.tables.test_delta import LOCATION, row
ROOT = "s3://data/tables"
def count():
    return ask(ROOT, "select count(*) as n from main.logs.chat_payload")[0]["n"]
"""
KEPT = """
DAYS = (1_699_000_000_000, 1_700_000_000_000, 1_700_100_000_000)
tables = DeltaTables(ROOT, "w")
assert tables.committed(LOCATION) == 0
for number in range(6):
    tables.append(LOCATION, number + 1, [row(request_time=DAYS[number % 3])])
assert tables.committed(LOCATION) == 6
tables.maintain(LOCATION, date(2023, 11, 17), date(2023, 11, 10))
assert count() == 4
assert tables.committed(LOCATION) == 6
"""
MANY = """
import sys
tables = DeltaTables(ROOT, sys.argv[1])
# All begin at once.
print("ready", flush=True)
sys.stdin.readline()
for number in range(4):
    tables.append(LOCATION, number + 1, [row(invocation_id=f"{sys.argv[1]}-{number}")])
assert tables.committed(LOCATION) == 4
"""
COUNTED = "print(count())"


@pytest.fixture(scope="module")
def running() -> Iterator[S3Store]:
    with running_in_thread(S3Store) as emulator:
        yield emulator


@pytest.fixture
def store(running: S3Store) -> S3Store:
    """Give an empty store."""
    running.objects.clear()
    return running


def variables(store: S3Store) -> dict[str, str]:
    """Return the environment by which an operator names the store."""
    return {
        "AWS_ACCESS_KEY_ID": TEMPORARY_KEY.key_id,
        "AWS_SECRET_ACCESS_KEY": TEMPORARY_KEY.secret,
        "AWS_SESSION_TOKEN": TEMPORARY_KEY.token,
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": store.origin,
        "AWS_ALLOW_HTTP": "true",
    }


def start(store: S3Store, code: str, *arguments: str) -> subprocess.Popen[str]:
    """Run code that has the store as an operator names it."""
    return subprocess.Popen(
        [sys.executable, "-c", _BEGIN + code, *arguments],
        env=variables(store),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def run(store: S3Store, code: str) -> str:
    """Run code to its end, and return what it has printed."""
    with start(store, code) as process:
        told, _ = process.communicate()
    assert process.returncode == 0
    return told


def test_tables_are_written_kept_in_order_and_asked(store: S3Store) -> None:
    run(store, KEPT)
    assert all(name.startswith("data/tables/main/logs/chat_payload/") for name in store.objects)


def test_no_commit_of_several_writers_is_lost(store: S3Store) -> None:
    run(store, 'DeltaTables(ROOT, "first").append(LOCATION, 1, [row()])')
    before, store.awaits_rival = store.conflicts, True
    writers = [start(store, MANY, f"w{number}") for number in range(3)]
    for writer in writers:
        assert writer.stdout
        writer.stdout.readline()
    for writer in writers:
        assert writer.stdin
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        with writer:
            writer.communicate()
        assert writer.returncode == 0
    assert run(store, COUNTED) == "13\n"
    # They met: the service refused whoever came second with a version.
    assert store.conflicts > before
