"""The usage ledger as tables: the mirrored product's columns, then this product's own.

Before: `servicer`. After: `reader`. Pure.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from modelserving.store.v1.hosting_pb2 import HostedModel
from modelserving.v1.endpoint_pb2 import ServedEntity

from modelplane.control_plane.store.usage.prices import as_decimal
from modelplane.control_plane.store.usage.queries import ServedVersion, StoredQuery
from modelplane.control_plane.usage.reader import Total
from modelplane.control_plane.usage.rows import served_entity_id

_TIMES = frozenset({"request_time", "change_time", "endpoint_delete_time", "day", "hour", "minute"})
# Of latencies.
_PERCENTILES = (50, 95)
# The deployment is one account with one workspace.
_ACCOUNT = {"account_id": "", "workspace_id": "0"}


@dataclass(frozen=True, slots=True)
class Table:
    """Rows with the same columns; times are milliseconds since the epoch.

    Attributes:
        name: What the rows are.
        rows: Values by column.
        next_page_token: Token of the next page; empty on the last one.
        token_columns: The columns that are the token of the page after a row.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    next_page_token: str = ""
    token_columns: Sequence[str] = ()


def build_rows(queries: Sequence[StoredQuery], next_page_token: str) -> Table:
    """Return a table of queries."""
    rows = [_build_row(query) for query in queries]
    return Table("usage", rows, next_page_token, ("request_time", "entry_id"))


def build_totals(
    group_by: Sequence[str], totals: Sequence[Total], *, percentiles: bool = False
) -> Table:
    """Return a table of totals, with percentiles of latencies if they are asked for."""
    rows = []
    for total in totals:
        group = total.group
        row = dict(zip(group_by, total.values, strict=True)) | group.sums
        latency = row.pop("latency_ms")
        ended = row["requests"] - (row["unknown_requests"] or 0)
        row["average_latency_ms"] = (
            round(latency / ended, 3) if latency is not None and ended else None
        )
        for share in _PERCENTILES if percentiles else ():
            row[f"p{share}_latency_ms"] = _round(group.percentile(share / 100))
        row["cost"] = None if group.cost is None else _exact(as_decimal(group.cost))
        row["currency"] = None if group.cost is None else total.currency
        row["unpriced_requests"] = group.unpriced
        rows.append(row)
    return Table("totals", rows)


def build_served_entities(versions: Sequence[ServedVersion], next_page_token: str) -> Table:
    """Return a table of served entities."""
    rows = [row for version in versions for row in _build_entities(version)]
    columns = ("endpoint_config_version", "endpoint_id")
    return Table("served_entities", rows, next_page_token, columns)


def encode_json(table: Table) -> bytes:
    """Return a table as JSON."""
    document: dict[str, Any] = {table.name: table.rows}
    if table.next_page_token:
        document["next_page_token"] = table.next_page_token
    return orjson.dumps(document)


def encode_csv(table: Table) -> bytes:
    """Return a table as CSV with a header; times are ISO 8601, objects are JSON.

    Where there are pages, the last column of the last row is the token of the next page.
    """
    text = io.StringIO()
    if table.rows:
        writer = csv.writer(text)
        writer.writerow([*table.rows[0], *(["page_token"] if table.token_columns else [])])
        for row in table.rows:
            cells = [_cell(name, value) for name, value in row.items()]
            if table.token_columns:
                cells.append("-".join(str(row[name]) for name in table.token_columns))
            writer.writerow(cells)
    return text.getvalue().encode()


def _cell(name: str, value: Any) -> object:  # noqa: ANN401 - a cell has any type
    if value is None:
        return ""
    if name in _TIMES:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, int | float | str) else orjson.dumps(value).decode()


def _build_row(query: StoredQuery) -> dict[str, Any]:
    return _ACCOUNT | {
        "client_request_id": query.client_request_id or None,
        "databricks_request_id": query.request_id,
        "requester": query.requester,
        "status_code": query.status_code,
        "request_time": query.time_ms,
        "input_token_count": query.input_tokens,
        "output_token_count": query.output_tokens,
        "input_character_count": query.input_characters,
        "output_character_count": query.output_characters,
        "usage_context": query.usage_context,
        "request_streaming": query.streaming,
        "served_entity_id": query.served_entity_id,
        "entry_id": query.id,
        "state": query.state,
        "error": query.error or None,
        "endpoint_id": query.endpoint_id,
        "endpoint_name": query.endpoint_name,
        "endpoint_config_version": query.config_version,
        "endpoint_tags": query.tags,
        "served_entity_name": query.served_entity_name,
        "task": query.task,
        "requester_id": query.requester_id,
        "client": query.client or None,
        "cached_token_count": query.cached_tokens,
        "reasoning_token_count": query.reasoning_tokens,
        "token_counts_estimated": query.estimated,
        "latency_ms": _round(query.latency_ms),
        "first_chunk_ms": _round(query.first_chunk_ms),
        "attempts": query.attempts,
        "guardrail_action": query.guardrail_action or None,
        "guardrail_policy": query.guardrail.get("policy") or None,
        "guardrail_phase": query.guardrail.get("phase") or None,
        "guardrail_entities": query.guardrail.get("entities", {}),
        "guardrail_logged": query.guardrail.get("logged", {}),
        "guardrail_us": query.guardrail.get("check_us"),
        "guardrail_unread_parts": query.guardrail.get("unread_parts"),
        "provider": query.provider or None,
        "model": query.model or None,
        "cost": None if query.cost is None else _exact(query.cost),
        "currency": query.currency,
    }


def _exact(value: Decimal) -> str:
    # A text: a number would lose digits wherever it is read.
    return format(value, "f")


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _build_entities(version: ServedVersion) -> list[dict[str, Any]]:
    hosted = {model.served_entity_name: model for model in version.hosted}
    return [
        _build_entity(version, entity, hosted.get(entity.name, HostedModel()))
        for entity in version.config.served_entities
    ]


def _build_entity(
    version: ServedVersion, entity: ServedEntity, model: HostedModel
) -> dict[str, Any]:
    external = entity.HasField("external_model")
    throughput = {
        # Of model units, what they stand for.
        "min_provisioned_throughput": model.scale.min_throughput,
        "max_provisioned_throughput": model.scale.max_throughput,
        "provisioned_model_units": entity.provisioned_model_units or None,
        "throughput_chunk_size": model.scale.throughput_chunk,
        "compute_type": entity.workload_type,
    }
    least = 0 if model.scale.scale_to_zero else model.scale.min_replicas
    concurrency = {
        "min_concurrency": least * model.size.concurrency,
        "max_concurrency": model.scale.max_replicas * model.size.concurrency,
        "compute_type": entity.workload_type,
    }
    is_provisioned = bool(model.scale.throughput_chunk)
    is_foundation = is_provisioned or entity.HasField("foundation_model")
    kind = "FOUNDATION_MODEL" if is_foundation else "CUSTOM_MODEL"
    return {
        "served_entity_id": served_entity_id(version.endpoint_id, version.version, entity.name),
        **_ACCOUNT,
        "created_by": version.creator,
        "endpoint_name": version.endpoint_name,
        "endpoint_id": version.endpoint_id,
        "served_entity_name": entity.name,
        "entity_type": "EXTERNAL_MODEL" if external else kind,
        "entity_name": entity.external_model.name if external else entity.entity_name,
        "entity_version": entity.entity_version.string_value or None,
        "endpoint_config_version": version.version,
        "task": entity.external_model.task or model.description.task or None,
        "external_model_config": {"provider": entity.external_model.provider} if external else None,
        "foundation_model_config": throughput if is_provisioned else None,
        "custom_model_config": None if external or is_foundation else concurrency,
        "feature_spec_config": None,
        "change_time": version.created_ms,
        # The history of an endpoint is deleted with it.
        "endpoint_delete_time": None,
    }
