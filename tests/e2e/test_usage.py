"""The usage ledger through the whole system: queries in, rows, totals, CSV, Parquet out."""

import csv
import io
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import ChatMessage, ChatMessageRole
from pyarrow import parquet

from tests.e2e.rest import CHAT, ENDPOINTS, Json, Rest, endpoint, entity
from tests.e2e.system import System, wait_for
from tests.e2e.test_databricks_sdk import connect
from tests.emulators.openai import OpenAiEmulator

USAGE = "/api/2.0/usage"
TRACKED: Json = {"usage_tracking_config": {"enabled": True}}


def rows(rest: Rest, name: str, **query: object) -> list[Json]:
    found: list[Json] = rest.call("GET", f"{USAGE}?{urlencode({'endpoint': name} | query)}")[
        "usage"
    ]
    return found


def ended(rest: Rest, name: str, count: int) -> list[Json]:
    """Return the rows of an endpoint once there are so many, all of queries that have ended.

    A query that takes long has a row before. What an endpoint of the same name had is not told.
    """

    def found() -> list[Json]:
        told: list[Json] = rest.call("GET", f"{ENDPOINTS}/{name}/usage")["usage"]
        return told

    wait_for(lambda: [row["state"] for row in found()] == ["ENDED"] * count)
    return found()


@pytest.fixture
def tracked(rest: Rest, provider: OpenAiEmulator, request: pytest.FixtureRequest) -> str:
    """Give the name of an endpoint that tracks usage, one for each test."""
    name = f"usage-{abs(hash(request.node.nodeid))}"
    tags = [{"key": "team", "value": "search"}]
    rest.create(endpoint(name, entity(provider, "gpt"), ai_gateway=TRACKED, tags=tags))
    return name


def test_a_query_becomes_a_row(system: System, rest: Rest, tracked: str) -> None:
    workspace: WorkspaceClient = connect(system, system.token)
    answer = workspace.serving_endpoints.query(
        name=tracked,
        messages=[ChatMessage(role=ChatMessageRole.USER, content="hello there")],
        usage_context={"project": "e2e"},
        client_request_id="mine-1",
    )
    [row] = ended(rest, tracked, 1)
    assert answer.usage
    assert row["input_token_count"] == answer.usage.prompt_tokens
    assert row["output_token_count"] == answer.usage.completion_tokens
    assert row["usage_context"] == {"project": "e2e"}
    assert row["client_request_id"] == "mine-1"
    assert row["endpoint_tags"] == {"team": "search"}
    assert (row["status_code"], row["state"], row["requester"]) == (200, "ENDED", "admin")
    [served] = rest.call("GET", f"/api/2.0/served-entities?endpoint={tracked}")["served_entities"]
    assert served["served_entity_id"] == row["served_entity_id"]
    assert served["served_entity_name"] == row["served_entity_name"] == "gpt"


def test_streams_and_failures_are_rows_too(
    rest: Rest, tracked: str, provider: OpenAiEmulator
) -> None:
    assert rest.query(tracked, CHAT | {"stream": True}).status_code == 200
    provider.fail(status=400)
    failed = rest.query(tracked, CHAT)
    assert failed.status_code == 400
    bad, stream = ended(rest, tracked, 2)
    assert (bad["status_code"], bad["output_token_count"]) == (400, None)
    assert bad["databricks_request_id"] == failed.headers["x-request-id"]
    assert stream["request_streaming"]
    assert stream["first_chunk_ms"] > 0
    assert stream["output_token_count"] > 0


def test_what_is_refused_before_it_is_admitted_is_no_row(rest: Rest, tracked: str) -> None:
    assert rest.query(tracked, {"messages": []}).status_code == 400
    wrong = rest.query(tracked, CHAT | {"usage_context": {"a": 1}})
    assert wrong.status_code == 400
    assert "usage_context" in wrong.json()["message"]
    assert rest.query(tracked, CHAT).status_code == 200
    ended(rest, tracked, 1)


def test_totals_csv_and_pages(rest: Rest, tracked: str) -> None:
    for _ in range(5):
        rest.query(tracked, CHAT)
    ended(rest, tracked, 5)
    own = f"{ENDPOINTS}/{tracked}/usage"
    [total] = rest.call("GET", f"{own}?group_by=tag:team,status_code")["totals"]
    assert (total["tag:team"], total["status_code"], total["requests"]) == ("search", 200, 5)
    assert total["input_token_count"] == sum(
        row["input_token_count"] for row in rows(rest, tracked)
    )
    assert "p50_latency_ms" not in total
    [told] = rest.call("GET", f"{own}?group_by=endpoint&percentiles=true")["totals"]
    assert 0 < told["p50_latency_ms"] <= told["p95_latency_ms"]
    first = rest.call("GET", f"{own}?max_results=3")
    second = rest.call("GET", f"{own}?max_results=3&page_token={first['next_page_token']}")
    assert [len(page["usage"]) for page in (first, second)] == [3, 2]
    assert "next_page_token" not in second
    ids = {row["entry_id"] for page in (first, second) for row in page["usage"]}
    assert len(ids) == 5
    by_format = rest.send("GET", f"{own}?format=csv&max_results=3")
    by_header = rest.send("GET", f"{own}?max_results=3", headers={"Accept": "text/csv"})
    for answer in (by_format, by_header):
        assert answer.headers["Content-Type"].startswith("text/csv")
        found = list(csv.DictReader(io.StringIO(answer.text)))
        assert [row["entry_id"] for row in found] == [row["entry_id"] for row in first["usage"]]
        assert found[-1]["page_token"] == first["next_page_token"]
    assert rest.send("GET", f"{own}?format=xml").status_code == 400
    assert rest.send("GET", f"{USAGE}?group_by=colour").status_code == 400


def test_the_command_shows_and_exports(
    system: System, rest: Rest, tracked: str, tmp_path: Path
) -> None:
    rest.query(tracked, CHAT | {"usage_context": {"a": "b"}})
    rest.query(tracked, CHAT | {"stream": True})
    ended(rest, tracked, 2)
    filters = ("--endpoint", tracked)
    assert run_usage(system, *filters).count(tracked) == 2
    assert "search" in run_usage(system, *filters, "--group-by", "tag:team")
    text = run_usage(system, *filters, "--format", "csv")
    assert len(list(csv.DictReader(io.StringIO(text)))) == 2
    file = tmp_path / "usage.parquet"
    said = run_usage(system, "export", "--parquet", str(file), *filters, "--since", "2020-01-01")
    assert said == f"2 rows in {file}\n"
    read = parquet.read_table(file).to_pylist(maps_as_pydicts="strict")
    printed = rows(rest, tracked)
    assert [row["entry_id"] for row in read] == [row["entry_id"] for row in printed]
    assert [row["usage_context"] for row in read] == [{}, {"a": "b"}]
    times = [int(row["request_time"].timestamp() * 1000) for row in read]
    assert times == pytest.approx([row["request_time"] for row in printed], abs=1)
    assert "other" in run_usage(system, *filters, "--client", "other", "--group-by", "client")
    assert "no usage" in run_usage(system, *filters, "--client", "codex")
    assert "b" in run_usage(system, *filters, "--tag", "a=b", "--group-by", "tag:a").split()
    names = ("client", "input_token_count", "output_token_count", "attempts", "endpoint_tags")
    assert [{name: row[name] for name in names} for row in read] == [
        {name: row[name] for name in names} for row in printed
    ]
    assert set(read[0]) == set(printed[0])


def run_usage(system: System, *arguments: str) -> str:
    command = [str(Path(sys.executable).parent / "modelplane"), "usage", "--url", system.url]
    done = subprocess.run(
        [*command, *arguments],
        env={"MODELPLANE_TOKEN": system.token},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return done.stdout
