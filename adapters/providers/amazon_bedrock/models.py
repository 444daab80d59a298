"""Names of Bedrock's models and where they are served: pure.

A model is named by its id (`anthropic.claude-v2`), by an inference profile
(`us.anthropic.claude-3-haiku-20240307-v1:0`) or by an ARN. The names that the product lists lack
the vendor (`claude-v2`, `titan-embed-text-v1`), which is added.
"""

import re
from collections.abc import Mapping
from urllib.parse import quote

from modelplane.adapters.providers.errors import ConfigRefused

# Prefix of model ids by `bedrock_provider`.
_VENDORS: Mapping[str, str] = {
    "anthropic": "anthropic",
    "cohere": "cohere",
    "ai21labs": "ai21",
    "amazon": "amazon",
    "meta": "meta",
}
# A vendor, perhaps with the geography of an inference profile before it.
_QUALIFIED = re.compile(r"(?:[a-z]+(?:-[a-z]+)*\.)?[a-z0-9]+\.[a-z][a-z0-9-]*")
_REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)+-\d+")
_ARN = "arn:"
_SUFFIXES: Mapping[str, str] = {"cn": "amazonaws.com.cn"}


def read_family(bedrock_provider: str) -> str:
    """Return the model family, which may be written in any case.

    Raises:
        ConfigRefused: It is unknown.
    """
    family = bedrock_provider.strip().lower()
    if family not in _VENDORS:
        names = ", ".join(_VENDORS)
        raise ConfigRefused(f"bedrock_provider '{bedrock_provider}' is unknown: use one of {names}")
    return family


def read_region(region: str) -> str:
    """Return the AWS region.

    Raises:
        ConfigRefused: It cannot be one; it becomes part of a host name.
    """
    cleaned = region.strip().lower()
    if not _REGION.fullmatch(cleaned):
        raise ConfigRefused(f"aws_region '{region}' is not an AWS region, such as us-east-1")
    return cleaned


def build_model_id(name: str, family: str) -> str:
    """Return the id under which Bedrock knows a model."""
    if name.startswith(_ARN) or _QUALIFIED.match(name):
        return name
    return f"{_VENDORS[family]}.{name}"


def base_model(model_id: str) -> str:
    """Return the model's own name, without vendor and geography; an ARN's last part."""
    name = model_id.rpartition("/")[2]
    for vendor in _VENDORS.values():
        _, found, rest = f".{name}".partition(f".{vendor}.")
        if found:
            return rest
    return name


def build_url(region: str, model_id: str, operation: str) -> str:
    """Return the URL of an operation, for example `converse`, of one model."""
    suffix = _SUFFIXES.get(region.partition("-")[0], "amazonaws.com")
    host = f"bedrock-runtime.{region}.{suffix}"
    # Ids hold colons and ARNs slashes: both are part of one segment of the path.
    return f"https://{host}/model/{quote(model_id, safe='')}/{operation}"
