"""Checks an external model against the rules that its provider's message declares.

The rules are the option `provider_rules` of each configuration message
(`protos/modelserving/v1/rules.proto`); nothing here knows a provider by name.

Before: `validation`. Beside: `credentials`, which finds the credential fields.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from google.protobuf.message import Message
from modelserving.v1.external_model_pb2 import ExternalModel
from modelserving.v1.rules_pb2 import (
    FieldForm,
    JsonCredential,
    ProviderCase,
    ProviderRules,
    provider_rules,
)

from modelplane.adapters.shared.credential_slots import PLAINTEXT, credential_fields
from modelplane.control_plane.errors import InvalidParameter


@dataclass(frozen=True, slots=True)
class _Provider:
    # Field of ExternalModel that holds the configuration.
    field: str
    rules: ProviderRules


def _read_providers() -> Mapping[str, _Provider]:
    providers = {}
    for field in ExternalModel.DESCRIPTOR.oneofs_by_name["provider_config"].fields:
        if field.message_type is None:
            raise TypeError(f"{field.full_name} is no message")
        rules = field.message_type.GetOptions().Extensions[provider_rules]
        providers[rules.provider] = _Provider(field.name, rules)
    return providers


_PROVIDERS = _read_providers()

PROVIDERS = tuple(sorted(_PROVIDERS))
TASKS = tuple(sorted({task for item in _PROVIDERS.values() for task in item.rules.tasks}))


def check_external_model(model: ExternalModel) -> None:
    """Check one external model by itself.

    Raises:
        InvalidParameter: Something is missing or wrong; the message says what to change, without
            naming the served entity.
    """
    _require_fields(model, "external_model.", ("name", "provider", "task"))
    provider = _PROVIDERS.get(model.provider)
    if provider is None:
        raise InvalidParameter(
            f"external_model.provider '{model.provider}' is unknown; use {_either(PROVIDERS)}."
        )
    _check_task(model, provider.rules)
    _check_name(model, provider.rules)
    config = _config_of(model, provider)
    prefix = f"{provider.field}."
    case = _find_case(config, provider.rules, prefix)
    _require_fields(config, prefix, case.required)
    for allowed in case.allowed:
        _check_allowed(config, prefix, allowed.field, allowed.values)
    for name in credential_fields(config):
        _check_credential(config, prefix, name, required=name in case.credentials)
    for document in case.json_credentials:
        _check_json(config, prefix, document)
    documents = {document.field for document in case.json_credentials}
    for name in credential_fields(config):
        if name not in documents:
            _check_key(config, prefix, name)
    _check_one_of(config, prefix, case)
    _check_unused(config, prefix, case)
    _check_urls(config, prefix)
    for form in provider.rules.forms:
        _check_form(config, prefix, form)
    _check_tasks_of_values(model, config, provider)


def _check_task(model: ExternalModel, rules: ProviderRules) -> None:
    if model.task not in TASKS:
        raise InvalidParameter(
            f"external_model.task '{model.task}' is unknown; use {_either(TASKS)}."
        )
    if model.task not in rules.tasks:
        raise InvalidParameter(
            f"Provider '{model.provider}' does not serve the task '{model.task}'; use "
            f"{_either(rules.tasks)}, or another provider."
        )


def _check_name(model: ExternalModel, rules: ProviderRules) -> None:
    """Check that the provider has such a model, and that it serves the task."""
    form = rules.model_name
    if form.pattern and not re.fullmatch(form.pattern, model.name):
        raise InvalidParameter(f"external_model.name '{model.name}' must be {form.what}.")
    short = model.name.rpartition("/")[2]
    family = next((item for item in rules.families if re.match(item.pattern, short)), None)
    if family is None or model.task in family.tasks:
        return
    if not family.tasks:
        raise InvalidParameter(
            f"The model '{model.name}' of provider '{model.provider}' is not supported; set "
            "another external_model.name."
        )
    raise InvalidParameter(
        f"The model '{model.name}' does not serve the task '{model.task}'; use "
        f"{_either(family.tasks)}, or another external_model.name."
    )


def _config_of(model: ExternalModel, provider: _Provider) -> Message:
    given = model.WhichOneof("provider_config")
    if given != provider.field:
        found = f", not {given}" if given else ""
        raise InvalidParameter(
            f"Provider '{model.provider}' is configured in external_model.{provider.field}{found}."
        )
    config: Message = getattr(model, provider.field)
    return config


def _find_case(config: Message, rules: ProviderRules, prefix: str) -> ProviderCase:
    for case in rules.cases:
        if _holds(case, config):
            return case
    field = rules.cases[0].field
    accepted = [value for case in rules.cases for value in case.values if value]
    raise InvalidParameter(
        f"{prefix}{field} '{_text(config, field)}' is unknown; use {_either(accepted)}."
    )


def _holds(case: ProviderCase, config: Message) -> bool:
    if not case.field:
        return True
    value = _text(config, case.field).lower()
    return value in case.values if case.values else bool(value)


def _require_fields(message: Message, prefix: str, names: Iterable[str]) -> None:
    for name in names:
        if not _text(message, name):
            raise InvalidParameter(f"{prefix}{name} is required; set it.")


def _check_allowed(config: Message, prefix: str, name: str, accepted: Iterable[str]) -> None:
    if _text(config, name).lower() not in accepted:
        raise InvalidParameter(
            f"{prefix}{name} '{_text(config, name)}' is unknown; use {_either(accepted)}."
        )


def _check_form(config: Message, prefix: str, form: FieldForm) -> None:
    *path, name = form.field.split(".")
    message = config
    for step in path:
        message = getattr(message, step)
    text = _text(message, name)
    if text and not re.fullmatch(form.pattern, text):
        raise InvalidParameter(
            f"{prefix}{form.field} '{text[:100]}' is not allowed; it must be {form.what}."
        )


def _check_tasks_of_values(model: ExternalModel, config: Message, provider: _Provider) -> None:
    for rule in provider.rules.tasks_of_values:
        value = _text(config, rule.field)
        if value.lower() in rule.values and model.task not in rule.tasks:
            raise InvalidParameter(
                f"The models of {rule.field} '{value}' do not serve the task '{model.task}'; use "
                f"{_either(rule.tasks)}, or another {rule.field}."
            )


def _check_credential(message: Message, prefix: str, name: str, *, required: bool) -> None:
    given = [field for field in (name, name + PLAINTEXT) if _text(message, field)]
    if len(given) > 1:
        raise InvalidParameter(
            f"Both {prefix}{name} and {prefix}{name}{PLAINTEXT} are given; keep exactly one."
        )
    if required and not given:
        raise InvalidParameter(
            f"Give exactly one of {prefix}{name} (a reference {{{{secrets/scope/key}}}}) and "
            f"{prefix}{name}{PLAINTEXT} (the value itself)."
        )


def _check_key(message: Message, prefix: str, name: str) -> None:
    """Check a key given in plaintext that is sent as it is."""
    plaintext = _text(message, name + PLAINTEXT)
    # The line end of a file is no part of it (`CredentialSlot.resolve`).
    key = plaintext.strip()
    if plaintext and not (key and key.isascii() and key.isprintable()):
        raise InvalidParameter(
            f"{prefix}{name}{PLAINTEXT} is blank, or holds characters that no request can carry; "
            "give the key as the provider shows it."
        )


def _check_json(config: Message, prefix: str, rule: JsonCredential) -> None:
    """Check a credential given in plaintext; what a reference holds is for the workers to see."""
    text = _text(config, rule.field + PLAINTEXT)
    if not text:
        return
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        document = None
    if (
        not isinstance(document, dict)
        or not all(document.get(name) for name in rule.members)
        or (rule.pem_member and not _is_rsa_key(document[rule.pem_member]))
    ):
        members = " and ".join(f'"{name}"' for name in rule.members)
        raise InvalidParameter(
            f"{prefix}{rule.field}{PLAINTEXT} must be the whole key file, a JSON object with "
            f"{members}{_pem_words(rule)}."
        )


def _pem_words(rule: JsonCredential) -> str:
    return f', where "{rule.pem_member}" is an RSA key in PEM' if rule.pem_member else ""


def _is_rsa_key(pem: object) -> bool:
    """Tell whether a text is what workers take for a key: not encrypted, and an RSA key."""
    if not isinstance(pem, str):
        return False
    try:
        # As workers load it: line breaks may have become a backslash and an n on the way.
        text = pem.strip().replace("\\n", "\n").encode()
        key = serialization.load_pem_private_key(text, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return isinstance(key, RSAPrivateKey)


def _check_one_of(config: Message, prefix: str, case: ProviderCase) -> None:
    if not case.one_of:
        return
    given = [name for name in case.one_of if config.HasField(name)]
    if len(given) != 1:
        raise InvalidParameter(
            f"Give exactly one of {' and '.join(prefix + name for name in case.one_of)}."
        )
    # A group says nothing of its own fields: all of them are needed.
    group: Message = getattr(config, given[0])
    prefix = f"{prefix}{given[0]}."
    credentials = credential_fields(group)
    for name in credentials:
        _check_credential(group, prefix, name, required=True)
        _check_key(group, prefix, name)
    paired = {*credentials, *(name + PLAINTEXT for name in credentials)}
    _require_fields(
        group, prefix, tuple(name for name in group.DESCRIPTOR.fields_by_name if name not in paired)
    )


def find_urls(model: ExternalModel) -> Iterator[tuple[str, str]]:
    """Yield name and value of each URL in the provider's configuration."""
    which = model.WhichOneof("provider_config")
    if which is None:
        return
    config: Message = getattr(model, which)
    for name in config.DESCRIPTOR.fields_by_name:
        if name.endswith(("_base", "_url")) and (url := _text(config, name)):
            yield f"{which}.{name}", url


def _check_unused(config: Message, prefix: str, case: ProviderCase) -> None:
    for name in case.unused:
        if _text(config, name):
            kind = _text(config, case.field)
            raise InvalidParameter(
                f"{prefix}{name} has no effect with {case.field} '{kind}'; leave it out, or set "
                f"another {case.field}."
            )


def _check_urls(config: Message, prefix: str) -> None:
    for name in config.DESCRIPTOR.fields_by_name:
        url = _text(config, name) if name.endswith(("_base", "_url")) else ""
        if url and not _is_http_url(url):
            raise InvalidParameter(
                f"{prefix}{name} must be a whole URL, for example https://api.example.com/v1."
            )


def _is_http_url(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        return False


def _text(message: Message, name: str) -> str:
    return str(getattr(message, name))


def _either(values: Iterable[str]) -> str:
    return "one of " + ", ".join(f"'{value}'" for value in values)
