"""External models whose provider is the emulator."""

from modelserving.v1.external_model_pb2 import ExternalModel, GoogleCloudVertexAiConfig

from tests.emulators.google_cloud_vertex_ai.keys import KEY_FILE, PROJECT

PROVIDER = "google-cloud-vertex-ai"


def external_model(name: str, task: str, **fields: str) -> ExternalModel:
    """Return an external model at Vertex AI."""
    config = {"private_key_plaintext": KEY_FILE, "project_id": PROJECT, "region": "us-central1"}
    return ExternalModel(
        name=name,
        provider=PROVIDER,
        task=task,
        google_cloud_vertex_ai_config=GoogleCloudVertexAiConfig(**{**config, **fields}),
    )
