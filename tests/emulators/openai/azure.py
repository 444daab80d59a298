"""What differs on the paths of Azure OpenAI: the key's header, the version, the deployments.

Used by `server`.
"""

from collections.abc import Collection, Mapping

from aiohttp import web

from tests.emulators.openai.errors import AzureError

DEPLOYMENTS = {
    "my-gpt-35-turbo-deployment": "gpt-3.5-turbo",
    "my-instruct-deployment": "gpt-3.5-turbo-instruct",
    "my-embeddings-deployment": "text-embedding-3-small",
}


def check(request: web.Request, api_key: str, tokens: Collection[str]) -> None:
    """Refuse a request without the key in `api-key` or a token of Entra ID, or without a version.

    Raises:
        AzureError: What Azure's front door would answer.
    """
    check_credential(request, api_key, tokens)
    if not request.query.get("api-version"):
        raise AzureError("Resource not found", status=404, code="404")


def check_credential(request: web.Request, api_key: str, tokens: Collection[str]) -> None:
    """Refuse a request without the key in `api-key` or a token of Entra ID.

    Raises:
        AzureError: What Azure's front door would answer.
    """
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    has_token = scheme == "Bearer" and token in tokens
    if request.headers.get("api-key") != api_key and not has_token:
        message = "Access denied due to invalid subscription key or wrong API endpoint."
        raise AzureError(message, status=401, code="401")


def model_of(deployment: str, deployments: Mapping[str, str]) -> str:
    """Return the model behind a deployment.

    Raises:
        AzureError: There is no such deployment.
    """
    if deployment not in deployments:
        message = "The API deployment for this resource does not exist."
        raise AzureError(message, status=404, code="DeploymentNotFound")
    return deployments[deployment]
