"""Amazon Bedrock: which adapter serves an external model, and with which credentials.

API: https://docs.aws.amazon.com/bedrock/latest/APIReference. Requests go over the gateway's own
transport and are signed here; AWS's own client only fetches the credentials of roles.

| task        | operation                    | module           |
|-------------|------------------------------|------------------|
| chat        | Converse, ConverseStream     | `chat.py`        |
| completions | InvokeModel (and its stream) | `completions.py` |
| embeddings  | InvokeModel                  | `embeddings.py`  |

Built by `registry.py`.
"""

from collections.abc import Mapping

from modelserving.v1.external_model_pb2 import AmazonBedrockConfig, ExternalModel

from modelplane.adapters.providers.amazon_bedrock.adapter import BedrockAdapter, Target
from modelplane.adapters.providers.amazon_bedrock.chat import ChatAdapter
from modelplane.adapters.providers.amazon_bedrock.completions import (
    ClaudeAdapter,
    CommandAdapter,
    J2Adapter,
    LegacyClaudeAdapter,
    PromptAdapter,
    TextAdapter,
)
from modelplane.adapters.providers.amazon_bedrock.credentials import RoleCredentials
from modelplane.adapters.providers.amazon_bedrock.embeddings import (
    CohereEmbedAdapter,
    TitanEmbedAdapter,
)
from modelplane.adapters.providers.amazon_bedrock.invoke import InvokeAdapter
from modelplane.adapters.providers.amazon_bedrock.models import (
    build_model_id,
    read_family,
    read_region,
)
from modelplane.adapters.providers.amazon_bedrock.signing import AwsKey, AwsSigner
from modelplane.adapters.providers.amazon_bedrock.text import LlamaFormat, TitanFormat
from modelplane.adapters.providers.anthropic.complete import is_legacy
from modelplane.adapters.providers.canonical.answers import WALL_CLOCK, Clock
from modelplane.adapters.providers.errors import ConfigRefused
from modelplane.adapters.providers.types import Task

_COMPLETIONS: Mapping[str, type[InvokeAdapter]] = {
    "anthropic": ClaudeAdapter,
    "cohere": CommandAdapter,
    "ai21labs": J2Adapter,
}
_EMBEDDINGS: Mapping[str, type[BedrockAdapter]] = {
    "amazon": TitanEmbedAdapter,
    "cohere": CohereEmbedAdapter,
}


def build_amazon_bedrock_adapter(model: ExternalModel, clock: Clock = WALL_CLOCK) -> BedrockAdapter:
    """Return the adapter of an external model.

    Args:
        model: The external model.
        clock: Seconds since the epoch.

    Raises:
        ConfigRefused: The configuration cannot work; the text says what to change.
    """
    config = model.amazon_bedrock_config
    family = read_family(config.bedrock_provider)
    region = read_region(config.aws_region)
    key = _read_key(config)
    if config.instance_profile_arn:
        source = RoleCredentials(model.provider, config.instance_profile_arn, region, key)
        signer = AwsSigner(region, None, source)
    elif key is not None:
        signer = AwsSigner(region, key)
    else:
        raise ConfigRefused("aws_access_key_id and aws_secret_access_key have no value")
    model_id = build_model_id(model.name, family)
    target = Target(model.provider, family, model_id, region, signer, clock)
    if model.task == Task.CHAT:
        return ChatAdapter(target)
    if model.task == Task.COMPLETIONS:
        return _completions(target)
    if model.task == Task.EMBEDDINGS and family in _EMBEDDINGS:
        return _EMBEDDINGS[family](target)
    raise ConfigRefused(
        f"task '{model.task}' is not served by the models of bedrock_provider '{family}'"
    )


def _completions(target: Target) -> BedrockAdapter:
    name = target.model
    if target.family == "meta":
        return TextAdapter(target, LlamaFormat(name))
    if name.startswith("titan-text"):
        return TextAdapter(target, TitanFormat())
    if is_legacy(name):
        return LegacyClaudeAdapter(target)
    # These families have newer models that only chat.
    if target.family == "amazon" or name.startswith(("command-r", "command-a", "jamba")):
        return PromptAdapter(target)
    return _COMPLETIONS[target.family](target)


def _read_key(config: AmazonBedrockConfig) -> AwsKey | None:
    given = {
        "aws_access_key_id": config.aws_access_key_id_plaintext.strip(),
        "aws_secret_access_key": config.aws_secret_access_key_plaintext.strip(),
        "aws_session_token": config.aws_session_token_plaintext.strip(),
    }
    key = AwsKey(*given.values())
    if not key.access_key_id and not key.secret_access_key:
        return None
    for name in ("aws_access_key_id", "aws_secret_access_key"):
        if not given[name]:
            raise ConfigRefused(f"{name} has no value")
    for name, value in given.items():
        if not (value.isascii() and value.isprintable()) or " " in value:
            raise ConfigRefused(f"{name} holds characters that a signature cannot carry")
    return key
