"""The bounds that a page tells are those of the code, and what it names is there."""

import re
from pathlib import Path

import pytest

from modelplane.adapters.providers.http import images, transport
from modelplane.adapters.providers.http1 import resolver
from modelplane.adapters.registries.base import MAX_DEPTH, MAX_FILES
from modelplane.adapters.shared import guardrail_rules, patterns
from modelplane.adapters.shared.rpc.sizes import MAX_ANONYMOUS_BODY_BYTES
from modelplane.control_plane import admission
from modelplane.control_plane.audit import log
from modelplane.control_plane.endpoints import (
    change_servicer,
    change_watch,
    gateway_rules,
    totals,
)
from modelplane.control_plane.endpoints.validation import MAX_ENTITIES, MAX_NAME
from modelplane.control_plane.hosting import entity_rules, throughput_rules, worker_view
from modelplane.control_plane.identity import failed_logins, sessions, sign_ins
from modelplane.control_plane.secrets import scopes
from modelplane.control_plane.settings import Settings as ControlPlaneSettings
from modelplane.control_plane.store import database
from modelplane.control_plane.store.endpoints import change_log, payload_tables
from modelplane.control_plane.store.usage import sums
from modelplane.control_plane.traffic import series
from modelplane.control_plane.usage import prices, reader
from modelplane.data_plane.calls import aside, query, taking_turns
from modelplane.data_plane.guardrails import cleared, scanner
from modelplane.data_plane.hosting import group, suspect_callers, suspects
from modelplane.data_plane.limits import gate, throughput
from modelplane.data_plane.settings import Settings as WorkerSettings
from modelplane.data_plane.upstreams import attempts, relay
from modelplane.deploy.envoy import clusters, filters, listener, overload, routes
from modelplane.deploy.envoy.options import MAX_CONNECTIONS, MAX_HEAP_MIB
from modelplane.deploy.local.logs import MAX_LOG_BYTES
from modelplane.launcher.conversions import cache as conversions
from modelplane.launcher.conversions import convert
from modelplane.launcher.engines import command
from modelplane.launcher.environments import cache as environments
from modelplane.launcher.kubernetes import external_scaler_servicer
from modelplane.launcher.local import disk, preparation, tail
from modelplane.launcher.model_server import language
from modelplane.launcher.settings import Settings as LauncherSettings

PAGE = Path(__file__).parents[2] / "docs" / "bounds.md"
COLUMNS = 6
ROWS = [
    [cell.strip() for cell in line[1:-1].split("|")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| Resource")
]
KIB, MIB = 1024, 1024 * 1024

# How a resource's row begins, and what its bound must say. A new row comes with its line here.
BOUNDS = {
    "Bodies of calls of the control plane": f"{filters.SMALL_BODY_BYTES // KIB} KiB",
    "Bodies of logins": f"{MAX_ANONYMOUS_BODY_BYTES // KIB} KiB",
    "Calls of the control plane by strangers": f"{filters.STRANGERS_PER_SECOND} a second and "
    f"{filters.STRANGERS_AT_ONCE} at once",
    "Calls of Envoy to the control plane": f"{clusters.MAX_MANAGEMENT_CALLS:,}",
    "Calls of the control plane under way": f"{admission.MAX_CALLS:,} in all, "
    f"{admission.MAX_CALLS_OF_ONE} of each",
    "Calls that wait for changes": f"{change_watch.MAX_WAITING_OF_ONE} of one and "
    f"{change_watch.MAX_WAITING} in all, {change_servicer.MAX_SECONDS} s each, in each control "
    f"plane; the last {change_log.KEPT:,} changes are kept, of which an answer tells "
    f"{change_watch.MAX_CHANGES}; {change_servicer.MAX_NAMES} names of {MAX_NAME} characters",
    "Calls of workers under way": f"{clusters.MAX_CALLS:,}",
    "Command that serves a hosted model": f"{command._MOST_CHARACTERS:,} characters",
    "Connections of clients": f"{MAX_CONNECTIONS:,}",
    "Calls of KEDA": f"{external_scaler_servicer._MOST_CALLS} at a time, of "
    f"{external_scaler_servicer._MOST_BYTES // KIB} KiB each",
    "Counts of tokens that": f"{attempts._MOST_COUNTING} at a time in a worker; "
    f"{relay._COUNT_SECONDS:.0f} s each",
    "Counters of limits": f"{3 * gate._MOST_PLANS:,} callers of endpoints, {gate._ESTIMATES:,} "
    f"estimates, the buckets of {throughput._MOST_BUCKETS:,} served entities",
    "Disk, for converted": f"{LauncherSettings.launcher_cache} of those that nothing uses; none "
    f"begins without room for its result and {convert._SPARE_BYTES // MIB} MiB; one at a time, "
    f"{conversions.Options(0).seconds:,.0f} s each",
    "Disk, for environments of": f"{environments.Options({}).most} that nobody needs; no build "
    f"begins with less than {environments._NEEDED_BYTES // MIB:,} MiB free",
    "Disk, for the files of": f"{LauncherSettings.launcher_cache} of those that nothing uses; "
    f"{MAX_FILES:,} files of a model, in folders {MAX_DEPTH} deep",
    "Disk, for logs": f"{listener.LOGGED_BYTES} bytes of a path, a method or an id; "
    f"{MAX_LOG_BYTES // MIB} MiB",
    "Guardrails: judges": f"{aside.MOST_TASKS} questions and "
    f"{aside.MOST_CHARACTERS // MIB} MiB of characters at a time in a worker",
    "Guardrails: keywords": f"{guardrail_rules.MAX_WORDS} keywords of "
    f"{guardrail_rules.MAX_WORD_CHARACTERS} characters on each side; "
    f"{guardrail_rules.MAX_POLICIES} policies of {gateway_rules.MAX_GATEWAY_BYTES // KIB} KiB "
    f"together, {guardrail_rules.MAX_EXPRESSIONS} expressions of "
    f"{patterns.MAX_EXPRESSION_CHARACTERS:,} characters in each; a worker reads "
    f"{scanner.PIECE_CHARACTERS // KIB} Ki characters at a time, and for "
    f"{taking_turns.TURN_SECONDS * 1000:g} ms until others get their turn; it remembers "
    f"the digests of {cleared._MOST:,} texts",
    "Groups of replicas": f"one for each of the {MAX_ENTITIES} entities",
    "Disk of a replica": f"{disk.MOST_BYTES >> 30} GiB in {disk.MOST_FILES:,} files",
    "Health of the control plane": f"{routes.OPEN_STREAM_SECONDS} s",
    "Images that a query names": f"{images.MAX_IMAGES} a query",
    "Logins with a client secret": f"{failed_logins.MAX_FAILURES} failures of an address "
    f"at once, and {failed_logins.MAX_FAILURES_OF_CLIENT} of a client",
    "Logs of hosted models": f"the last {tail.LOG_BYTES // KIB} KiB of each of a group's two; "
    f"lines of {tail._LINE_BYTES // KIB} KiB; {tail._BYTES_PER_SECOND // MIB} MiB a second",
    "Lookups of host names": f"{resolver.MAX_LOOKUPS_OF_OWNER} at a time",
    "Memory for a provider's answer": f"{transport.MAX_BODY_BYTES // MIB} MiB",
    "Memory of replicas": f"{LauncherSettings.launcher_memory} of the machine's for all",
    "Memory of Envoy": f"{MAX_HEAP_MIB:,} MiB: above {overload.CLOSE_IDLE:.0%}".replace("%", " %"),
    "Metric series of engines": f"of {totals._REMEMBERED} replicas",
    "Payload tables that an endpoint may have had": f"{payload_tables.MOST_OF_ONE}:",
    "Prices of models": f"{prices.MAX_PRICES:,} prices, {prices._LONGEST} characters of a name; "
    f"{reader.MAX_GROUPS * sums._PARTS:,} groups by price, of {reader.MAX_GROUPS:,} groups",
    "Processes of a hosted model that": f"{suspects._ENOUGH} by the same request, "
    f"{suspect_callers.FOUND} by one caller",
    "Replicas of a group": f"which is {entity_rules.MAX_CONCURRENCY:,} at most, or "
    f"{throughput_rules.MAX_CHUNKS}",
    "Reports": f"{database.MAX_REPORTS} at a time",
    "Request headers": f"{listener.MAX_HEADERS_KIB} KiB",
    "Requests that have ended processes": f"{suspects.MOST} of each for each model and worker",
    "Requests that wait for a hosted model": f"{worker_view._MAX_WAITING:,} for each model and "
    f"worker, {group._USUAL_MAX_WAITING} until the control plane has said so; "
    f"{WorkerSettings.hold_max_mib} MiB",
    "Rows of refusals": f"{log.MAX_UNKNOWN} rows for those not known, {log.MAX_OF_ONE} for each",
    "Scopes of secrets": f"{scopes.MAX_SCOPES_OF_ONE} by each",
    "Sessions of browsers": f"{sessions.MAX_SESSIONS} of each; "
    f"{sessions.SESSION_SECONDS // 3600} hours",
    "Sign-ins that ask an issuer": f"{sign_ins.MAX_AT_ONCE} at a time; "
    f"for its endpoints once in {sign_ins.FRESH_SECONDS / 60:g} minutes; "
    f"codes of {sign_ins.MAX_CODE:,} characters",
    "Streams of one HTTP/2 connection": f"{listener.MAX_STREAMS}",
    "Texts of a request for embeddings": f"{language._MOST_TEXTS} texts",
    "Time for the first byte": f"{listener.FIRST_BYTE_SECONDS} s",
    "Time for the headers": f"{listener.HEADERS_SECONDS} s",
    "Time for a whole request": f"{listener.REQUEST_SECONDS} s",
    "Time to fetch and build": f"{preparation._LONGEST_SECONDS:,.0f} s",
    "Time of a connection between": f"{listener.IDLE_SECONDS} s",
    "Time of a stream, whole": f"{WorkerSettings().stream_seconds:,.0f} s",
    "Traffic of an endpoint": f"of {series.MOST_LOOKED_AT} endpoints for each control plane, "
    f"{series.MOST_LOOKED_AT_BY_ONE} that one caller looks at; {totals.MAX_ENTITIES} entities with "
    f"names, {totals.MAX_NEW_NAMES} of them new in an hour; {series.MAX_TOLD} in an answer",
    "Turns of the event loop, to parse": f"{query.MAX_VALUES:,} values",
}


@pytest.mark.parametrize(("resource", "bound"), BOUNDS.items())
def test_a_bound_is_that_of_the_code(resource: str, bound: str) -> None:
    [row] = [row for row in ROWS if row[0].startswith(resource)]
    assert bound in row[2]


def test_rows_are_whole_and_sorted() -> None:
    assert {len(row) for row in ROWS} == {COLUMNS}
    assert all(all(row[:4]) for row in ROWS)
    assert [row[0] for row in ROWS] == sorted(row[0] for row in ROWS)


def test_settings_that_move_a_bound_are_there() -> None:
    known = {
        f"MODELPLANE_{name.upper()}"
        for settings in (ControlPlaneSettings, WorkerSettings, LauncherSettings)
        for name in settings.__dataclass_fields__
    }
    named = {name for row in ROWS for name in re.findall(r"MODELPLANE_[A-Z_]+", row[5])}
    assert named <= known


def test_strangers_take_no_more_of_the_control_plane_than_a_part() -> None:
    assert filters.STRANGERS_AT_ONCE < clusters.MAX_MANAGEMENT_CALLS
    assert overload.CLOSE_IDLE < overload.RESET_LARGEST < overload.REFUSE_REQUESTS < 1
