"""Pure rules for names, configurations, changes of a configuration, and tags.

Each refusal tells the user what to change. Before: `lifecycle`. After: `provider_rules`. Beside:
`gateway_rules`, for limits and the AI Gateway.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from modelserving.v1.endpoint_pb2 import (
    EndpointConfig,
    EndpointTag,
    ServedEntity,
)

from modelplane.adapters.registries.foundation_model import NAME_PREFIX
from modelplane.adapters.shared.egress import SETTING, EgressPolicy
from modelplane.control_plane.endpoints.config_input import MAX_ENTITY_NAME
from modelplane.control_plane.endpoints.provider_rules import check_external_model, find_urls
from modelplane.control_plane.endpoints.text_lengths import check_lengths
from modelplane.control_plane.errors import Conflict, InvalidParameter
from modelplane.control_plane.hosting.entity_rules import CONCURRENCY_FIELDS
from modelplane.control_plane.store.endpoints.aliases import TAG as ALIASES
from modelplane.control_plane.store.endpoints.aliases import aliases_of

MAX_ENTITIES = 15
MAX_TEXT = 4096
# Each worker gets an endpoint in one message with two configurations, and with the secrets that
# they refer to: a longer message would cut all workers off from every change.
MAX_CONFIG_BYTES = 1024 * 1024
MAX_TAGS = 20
MAX_TAG_KEY = 127
MAX_TAG_VALUE = 255

MAX_NAME = 63
_ENDPOINT_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}")
# Names of models, as clients of any provider write them.
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]*")
_ENTITY_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_ENTITY_NAME}}}")
# Paths of the API in the place of an endpoint's name.
_RESERVED_NAMES = ("pt", "get-model-optimization-info")
_HOSTING_FIELDS = (
    "entity_name",
    "entity_version",
    "workload_size",
    "workload_type",
    "scale_to_zero_enabled",
    "min_provisioned_concurrency",
    "max_provisioned_concurrency",
    "min_provisioned_throughput",
    "max_provisioned_throughput",
    "provisioned_model_units",
    "burst_scaling_enabled",
    "instance_profile_arn",
    "environment_vars",
)
_THROUGHPUT_FIELDS = (
    "min_provisioned_throughput",
    "max_provisioned_throughput",
    "provisioned_model_units",
)


def check_endpoint_name(name: str) -> None:
    """Check the name of a new endpoint.

    Raises:
        InvalidParameter: It cannot be used.
    """
    if not name:
        raise InvalidParameter("name is required; give the endpoint a name.")
    if not _ENDPOINT_NAME.fullmatch(name):
        raise InvalidParameter(
            f"Endpoint name '{name[:100]}' is not allowed; use 1 to 63 letters, digits, '_' and "
            "'-'."
        )
    if name.startswith(NAME_PREFIX):
        raise InvalidParameter(
            f"Endpoint name '{name}' is not allowed: the prefix '{NAME_PREFIX}' is reserved; "
            "choose another name."
        )
    if name in _RESERVED_NAMES:
        raise InvalidParameter(f"Endpoint name '{name}' is a path of the API; choose another name.")


def check_text(field: str, text: str) -> None:
    """Check free text about a new endpoint.

    Raises:
        InvalidParameter: It is too long, or holds a NUL character.
    """
    if len(text) > MAX_TEXT or "\0" in text:
        raise InvalidParameter(
            f"{field} must have at most {MAX_TEXT} characters, and no NUL; change it."
        )


def check_config(config: EndpointConfig) -> None:
    """Check a complete configuration by itself.

    Raises:
        InvalidParameter: It breaks a rule.
    """
    entities = config.served_entities
    if (size := config.ByteSize()) > MAX_CONFIG_BYTES:
        raise InvalidParameter(
            f"The configuration has {size} bytes; at most {MAX_CONFIG_BYTES} are allowed. Shorten "
            "its texts."
        )
    if len(entities) > MAX_ENTITIES:
        raise InvalidParameter(
            f"The configuration has {len(entities)} served entities; at most {MAX_ENTITIES} are "
            "allowed."
        )
    for entity in entities:
        _check_entity_name(entity)
    _require_unique(entity.name for entity in entities)
    for entity in entities:
        _check_entity(entity)
    _check_one_kind(entities)
    _check_one_task(entities)
    check_traffic(config)


def check_traffic(config: EndpointConfig) -> None:
    """Check the traffic split of a configuration.

    Raises:
        InvalidParameter: A route is unknown, double, missing, or the sum is not 100.
    """
    names = [entity.name for entity in config.served_entities]
    if not config.traffic_config.routes:
        raise InvalidParameter(
            f"traffic_config is required with {len(names)} served entities: add one route for "
            "each, with percentages that add up to 100."
        )
    routed = []
    for route in config.traffic_config.routes:
        name, share = route.served_entity_name, route.traffic_percentage
        if name not in names:
            raise InvalidParameter(
                f"traffic_config has a route to '{name}', which is no served entity; use one of "
                f"{', '.join(names)}."
            )
        if name in routed:
            raise InvalidParameter(f"traffic_config has two routes to '{name}'; keep one of them.")
        if not 0 <= share <= 100:  # noqa: PLR2004 - per cent
            raise InvalidParameter(
                f"traffic_percentage of '{name}' is {share}; it must be from 0 to 100."
            )
        routed.append(name)
    if missing := [name for name in names if name not in routed]:
        raise InvalidParameter(
            f"traffic_config has no route to {', '.join(missing)}; add one, with "
            "traffic_percentage 0 if it is to get no share."
        )
    total = sum(route.traffic_percentage for route in config.traffic_config.routes)
    if total != 100:  # noqa: PLR2004 - per cent
        raise InvalidParameter(
            f"The traffic percentages add up to {total}; change them so that they add up to 100."
        )


def check_upstreams(config: EndpointConfig, egress: EgressPolicy) -> None:
    """Check that no URL leads into this deployment's own network.

    Raises:
        InvalidParameter: One does, by the address that it names.
    """
    for entity in config.served_entities:
        for name, url in find_urls(entity.external_model):
            if egress.is_own_url(url):
                raise InvalidParameter(
                    f"Served entity '{entity.name}': {name} leads into this deployment itself, "
                    "which nothing can allow; use the address of another server."
                )
            if not egress.allows_url(url):
                raise InvalidParameter(
                    f"Served entity '{entity.name}': {name} leads into the network of this "
                    f"deployment; use a public address, or let the operator add it to {SETTING}."
                )


def check_change(old: EndpointConfig | None, new: EndpointConfig) -> None:
    """Check that an endpoint may go from one configuration to another.

    Raises:
        InvalidParameter: It would gain or lose its external models.
    """
    if old is None or is_external(old) == is_external(new):
        return
    if is_external(old):
        raise InvalidParameter(
            "The endpoint serves external models and cannot be updated to serve others; create a "
            "new endpoint for them."
        )
    raise InvalidParameter(
        "The endpoint was created without an external_model, and none can be added by an update; "
        "create a new endpoint for it."
    )


def is_external(config: EndpointConfig) -> bool:
    """Tell whether the configuration serves external models."""
    return any(entity.HasField("external_model") for entity in config.served_entities)


def check_tags(tags: Sequence[EndpointTag]) -> None:
    """Check all tags of an endpoint together.

    Raises:
        InvalidParameter: There are too many, or one is malformed or given twice.
    """
    if len(tags) > MAX_TAGS:
        raise InvalidParameter(
            f"The endpoint would have {len(tags)} tags; at most {MAX_TAGS} are allowed."
        )
    for tag in tags:
        if not 0 < len(tag.key) <= MAX_TAG_KEY:
            raise InvalidParameter(f"A tag's key must have 1 to {MAX_TAG_KEY} characters.")
        if len(tag.value) > MAX_TAG_VALUE:
            raise InvalidParameter(
                f"The value of tag '{tag.key}' is too long; at most {MAX_TAG_VALUE} characters "
                "are allowed."
            )
    for key, count in Counter(tag.key for tag in tags).items():
        if count > 1:
            raise InvalidParameter(f"Tag '{key}' is given {count} times; keep one of them.")
    _check_aliases(aliases_of(tags))


def check_settled(name: str, *, updating: bool) -> None:
    """Check that no update of the endpoint is in progress.

    Raises:
        Conflict: One is.
    """
    if updating:
        raise Conflict(
            f"Endpoint '{name}' is currently being updated; wait until state.config_update is no "
            "longer IN_PROGRESS, or cancel the update."
        )


def _check_aliases(aliases: Sequence[str]) -> None:
    for alias in aliases:
        if not _ALIAS.fullmatch(alias):
            raise InvalidParameter(
                f"Tag '{ALIASES}' names the models that clients may ask for, with commas: "
                f"'{alias}' may have letters, digits, and . _ : / @ - within."
            )


def _check_entity_name(entity: ServedEntity) -> None:
    if not entity.name:
        raise InvalidParameter(
            "A served entity has neither a name nor a model; set external_model."
        )
    if not _ENTITY_NAME.fullmatch(entity.name):
        raise InvalidParameter(
            f"Served entity name '{entity.name[:100]}' is not allowed; use 1 to {MAX_ENTITY_NAME} "
            "letters, digits, '_' and '-'."
        )


def _require_unique(names: Iterable[str]) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise InvalidParameter(
                f"{count} served entities are called '{name}'; give each one a name of its own."
            )


def _check_entity(entity: ServedEntity) -> None:
    try:
        check_lengths(entity)
        if entity.HasField("external_model"):
            _check_not_hosted(entity)
            check_external_model(entity.external_model)
        else:
            _check_hosted(entity)
    except InvalidParameter as error:
        raise InvalidParameter(f"Served entity '{entity.name}': {error}") from None


def _check_not_hosted(entity: ServedEntity) -> None:
    if given := _given(entity, _HOSTING_FIELDS):
        raise InvalidParameter(
            f"external_model excludes {', '.join(given)}, which are for hosted models; remove them."
        )


def _check_hosted(entity: ServedEntity) -> None:
    if not entity.entity_name:
        raise InvalidParameter(
            "neither external_model nor entity_name is given; say which model to serve."
        )
    concurrency = _given(entity, CONCURRENCY_FIELDS)
    if entity.workload_size and concurrency:
        raise InvalidParameter(
            f"workload_size and {' and '.join(concurrency)} exclude each other; keep one of them."
        )


def _given(entity: ServedEntity, names: Sequence[str]) -> list[str]:
    # Some clients spell out false, 0 and "" for what their user did not set.
    return [
        field.name
        for field, value in entity.ListFields()
        if field.name in names and value not in (False, 0, "")
    ]


def _check_one_kind(entities: Sequence[ServedEntity]) -> None:
    kinds = {_kind(entity): entity.name for entity in entities}
    if len(kinds) > 1:
        found = ", ".join(f"'{name}' is {kind}" for kind, name in kinds.items())
        raise InvalidParameter(
            f"An endpoint serves models of one kind, but {found}; use an endpoint for each kind."
        )


def _kind(entity: ServedEntity) -> str:
    if entity.HasField("external_model"):
        return "an external model"
    if _given(entity, _THROUGHPUT_FIELDS):
        return "a foundation model with provisioned throughput"
    return "a custom model"


def _check_one_task(entities: Sequence[ServedEntity]) -> None:
    tasks = {
        entity.external_model.task: entity.name
        for entity in entities
        if entity.HasField("external_model")
    }
    if len(tasks) > 1:
        found = ", ".join(f"'{name}' has {task}" for task, name in tasks.items())
        raise InvalidParameter(
            f"All external models of an endpoint must have the same task, but {found}; use an "
            "endpoint for each task."
        )
