"""External models whose provider is the emulator."""

from collections.abc import Mapping

from modelserving.v1.external_model_pb2 import AmazonBedrockConfig, ExternalModel

from tests.emulators.amazon_bedrock.server import REGION
from tests.emulators.amazon_bedrock.signature import KEY

HOST = f"https://bedrock-runtime.{REGION}.amazonaws.com"


def external_model(name: str, family: str, task: str) -> ExternalModel:
    """Return an external model with the emulator's key."""
    config = AmazonBedrockConfig(
        aws_region=REGION,
        aws_access_key_id_plaintext=KEY.key_id,
        aws_secret_access_key_plaintext=KEY.secret,
        bedrock_provider=family,
    )
    return ExternalModel(
        name=name, provider="amazon-bedrock", task=f"llm/v1/{task}", amazon_bedrock_config=config
    )


def origins(origin: str) -> Mapping[str, str]:
    """Return what stands in Bedrock's place."""
    return {HOST: origin}
