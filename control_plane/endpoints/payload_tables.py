"""Rules for the tables that record payloads: their names, and when they can change.

Before: `gateway_rules`, `lifecycle`, `setting_changes`, `settings`, `views`. After:
`store.endpoints.payload_tables`.
"""

import re
from collections.abc import Mapping
from typing import TypeAlias

from modelserving.store.v1.settings_pb2 import EndpointSettings
from modelserving.v1.ai_gateway_pb2 import InferenceTableConfig
from modelserving.v1.endpoint_pb2 import AutoCaptureConfig, EndpointConfig
from modelserving.v1.guardrail_policy_pb2 import GuardrailPolicy
from modelserving.v1.telemetry_pb2 import TelemetryConfig

from modelplane.adapters.shared.guardrail_rules import looks_for_something
from modelplane.adapters.shared.telemetry_tables import Kind, tables_of
from modelplane.control_plane.errors import InvalidParameter
from modelplane.control_plane.store.database import Session
from modelplane.control_plane.store.endpoints import payload_tables
from modelplane.control_plane.store.endpoints.changes import NewEndpoint
from modelplane.control_plane.store.endpoints.records import StoredEndpoint

SUFFIX = "_payload"
# They are names of directories, too.
MAX_NAME = 128

TableConfig: TypeAlias = InferenceTableConfig | AutoCaptureConfig
NAME = re.compile(rf"[A-Za-z0-9_][A-Za-z0-9_-]{{0,{MAX_NAME - 1}}}")
GATEWAY = "ai_gateway.inference_table_config"
_LEGACY = "auto_capture_config"
_MASKED = "masked"
_REDACTIONS = ("", "none", _MASKED)
_FIELDS = ("catalog_name", "schema_name", "table_name_prefix")


def _check(config: TableConfig, where: str, *, available: bool) -> None:
    """Check the table that a configuration asks for.

    Args:
        config: The configuration.
        where: The configuration's place in the request.
        available: Whether the deployment writes tables.

    Raises:
        InvalidParameter: It breaks a rule, or the deployment writes no tables.
    """
    for field in _FIELDS:
        name = getattr(config, field)
        if name and not NAME.fullmatch(name):
            raise InvalidParameter(
                f"{where}.{field} must be up to {MAX_NAME} letters, digits, '-' and '_', and must "
                "not begin with '-'."
            )
    if not config.HasField("enabled") and any(getattr(config, field) for field in _FIELDS):
        # Nobody should wait for rows that never come.
        raise InvalidParameter(
            f"{where}.enabled is required; set it to true, or leave out `{where}`: some clients do "
            "not send false."
        )
    if not config.enabled:
        return
    require_available(where, available=available)
    for field in ("catalog_name", "schema_name"):
        if not getattr(config, field):
            raise InvalidParameter(f"{where}.{field} is required to enable the table; set it.")


def require_available(where: str, *, available: bool) -> None:
    """Check that tables are written at all.

    Raises:
        InvalidParameter: The deployment writes none.
    """
    if not available:
        raise InvalidParameter(
            "This deployment writes no inference tables: its operator can install "
            "'modelplane[tables]' and set MODELPLANE_TABLES_ROOT; until then, leave out "
            f"`{where}`."
        )


def require_fraction(where: str, fraction: float) -> None:
    """Check a share of calls.

    Raises:
        InvalidParameter: It is none.
    """
    # The comparison is written so that NaN is refused.
    if not 0 <= fraction <= 1:
        raise InvalidParameter(f"{where} is {fraction:g}; use 0 to 1.")


def check(config: InferenceTableConfig, *, available: bool) -> None:
    """Check the table that settings ask for, and what it gets.

    Args:
        config: The settings.
        available: Whether the deployment writes tables.

    Raises:
        InvalidParameter: It breaks a rule, or the deployment writes no tables.
    """
    _check(config, GATEWAY, available=available)
    if config.HasField("sampling_fraction"):
        require_fraction(f"{GATEWAY}.sampling_fraction", config.sampling_fraction)
    if config.redact not in _REDACTIONS:
        raise InvalidParameter(
            f"{GATEWAY}.redact '{config.redact}' is unknown; use 'none' or '{_MASKED}'."
        )


def check_redaction(settings: EndpointSettings) -> None:
    """Check that something looks through requests which a table gets as they may pass.

    Args:
        settings: All that an endpoint is to have.

    Raises:
        InvalidParameter: Nothing does.
    """
    gateway = settings.ai_gateway
    table = gateway.inference_table_config
    if not (table.enabled and table.redact == _MASKED):
        return
    is_guarded = looks_for_something(gateway.guardrails.input)
    if is_guarded or any(map(_guards_requests, settings.policies)):
        return
    raise InvalidParameter(
        f"{GATEWAY}.redact is '{_MASKED}', and nothing would look through requests: set "
        "what ai_gateway.guardrails.input looks for, or a policy that enforces and has 'input' "
        "among its phases; or let redact be 'none'."
    )


def _guards_requests(policy: GuardrailPolicy) -> bool:
    """Tell whether a policy keeps from a table what it finds in requests; those that log do not."""
    return "input" in policy.phases and policy.mode != "log"


def complete_legacy(config: EndpointConfig, endpoint: str, *, available: bool) -> None:
    """Fill in the name of the table that a configuration asks for itself, if it does.

    Raises:
        InvalidParameter: It breaks a rule, or the deployment writes no tables.
    """
    if config.HasField("auto_capture_config"):
        table = config.auto_capture_config
        _check(table, _LEGACY, available=available)
        if table.enabled:
            table.table_name_prefix = table.table_name_prefix or endpoint


async def update(session: Session, endpoint: StoredEndpoint, config: EndpointConfig) -> None:
    """Let an update that does not speak of the legacy table leave it, and others not move it.

    Args:
        session: The transaction's, which stores the update.
        endpoint: The endpoint as it is.
        config: The new configuration, which is changed.

    Raises:
        InvalidParameter: It would move, would be a second one, or is another endpoint's.
    """
    if endpoint.newest and endpoint.newest.config.HasField("auto_capture_config"):
        old = endpoint.newest.config.auto_capture_config
        if not config.HasField("auto_capture_config"):
            config.auto_capture_config.CopyFrom(old)
        _check_change(old, config.auto_capture_config, endpoint.name, _LEGACY)
    await claim(session, endpoint, config)


async def claim(
    session: Session, endpoint: StoredEndpoint | NewEndpoint, config: EndpointConfig | None
) -> None:
    """Let an endpoint have the table that it asks for, in the transaction that stores that.

    Args:
        session: The transaction's.
        endpoint: The endpoint.
        config: Its new configuration, if it has one.

    Raises:
        InvalidParameter: It asks for two, or for one that is another endpoint's.
    """
    gateway = endpoint.settings.ai_gateway.inference_table_config
    legacy = config.auto_capture_config if config else AutoCaptureConfig()
    telemetry = tables_of(endpoint.settings.telemetry_config)
    _check_one(gateway, legacy, telemetry)
    for table in (gateway, legacy):
        await _claim(session, endpoint, table)
    await _claim_all(session, endpoint, telemetry)


async def change(session: Session, endpoint: StoredEndpoint, new: InferenceTableConfig) -> None:
    """Let an endpoint have the table that its new settings ask for, in their transaction.

    Raises:
        InvalidParameter: It would move, would be a second one, or is another endpoint's.
    """
    old = endpoint.settings.ai_gateway.inference_table_config
    _check_change(old, new, endpoint.name, GATEWAY)
    telemetry = tables_of(endpoint.settings.telemetry_config)
    _check_one(new, _legacy(endpoint), telemetry)
    await _claim(session, endpoint, new)


async def change_telemetry(
    session: Session, endpoint: StoredEndpoint, new: TelemetryConfig
) -> None:
    """Let an endpoint have the tables that its telemetry is to go to, in the transaction of that.

    Raises:
        InvalidParameter: Payloads would go to two, or one is another endpoint's, or of other rows.
    """
    gateway = endpoint.settings.ai_gateway.inference_table_config
    telemetry = tables_of(new)
    _check_one(gateway, _legacy(endpoint), telemetry)
    await _claim_all(session, endpoint, telemetry)


def _legacy(endpoint: StoredEndpoint) -> AutoCaptureConfig:
    newest = endpoint.newest
    return newest.config.auto_capture_config if newest else AutoCaptureConfig()


def show(config: AutoCaptureConfig) -> None:
    """Put into the configuration of an answer what has become of its table."""
    if config.enabled:
        table = config.state.payload_table
        table.name = _full_name(config, config.table_name_prefix)
        table.status = "ACTIVE"


def _full_name(config: TableConfig, prefix: str) -> str:
    name = f"{prefix}{SUFFIX}"
    return f"{config.catalog_name}.{config.schema_name}.{name}".lower()


async def _claim(
    session: Session, endpoint: StoredEndpoint | NewEndpoint, table: TableConfig
) -> None:
    if not table.enabled:
        return
    name = _full_name(table, table.table_name_prefix or endpoint.name)
    if not await _is_given(session, endpoint, name):
        raise InvalidParameter(
            f"The table {name} belongs to another endpoint, or has telemetry; choose another "
            "table_name_prefix, schema or catalog."
        )


async def _claim_all(
    session: Session, endpoint: StoredEndpoint | NewEndpoint, tables: Mapping[Kind, str]
) -> None:
    for kind, name in tables.items():
        if not await _is_given(session, endpoint, name, kind):
            raise InvalidParameter(
                f"The table {name} of telemetry_config.table_names belongs to another endpoint, or "
                "has rows of another kind; choose another name."
            )


async def _is_given(
    session: Session, endpoint: StoredEndpoint | NewEndpoint, name: str, kind: str = ""
) -> bool:
    try:
        return await payload_tables.claim(session, name, endpoint.id, endpoint.creator_id, kind)
    except payload_tables.TooManyTables:
        raise InvalidParameter(
            f"The endpoint '{endpoint.name}' has had {payload_tables.MOST_OF_ONE} tables, and each "
            "stays its own; let it write one of those again."
        ) from None


def _check_change(old: TableConfig, new: TableConfig, endpoint: str, where: str) -> None:
    """Check that a table which is written does not move."""
    if not (old.enabled and new.enabled):
        return
    for field in _FIELDS:
        default = endpoint if field == "table_name_prefix" else ""
        before, after = (getattr(config, field) or default for config in (old, new))
        if before != after:
            raise InvalidParameter(
                f"{where}.{field} cannot change from '{before}' to '{after}' while the table is "
                "enabled; disable it first."
            )


def _check_one(
    gateway: InferenceTableConfig, legacy: AutoCaptureConfig, telemetry: Mapping[Kind, str]
) -> None:
    """Check that payloads are recorded in one table."""
    if gateway.enabled and legacy.enabled:
        raise InvalidParameter(f"{GATEWAY} and {_LEGACY} are both enabled; disable one of them.")
    if Kind.PAYLOADS in telemetry and (gateway.enabled or legacy.enabled):
        other = GATEWAY if gateway.enabled else _LEGACY
        raise InvalidParameter(
            f"{other} and telemetry_config would both record payloads; disable the one, or let "
            "telemetry_config.enabled_telemetry_features be without "
            "TELEMETRY_FEATURE_INFERENCE_TABLE."
        )
