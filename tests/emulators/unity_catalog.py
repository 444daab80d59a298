"""A strict open-source Unity Catalog server for tests: versions of models, and their credentials.

Paths, fields and words follow its `api/all.yaml` (`getModelVersion`,
`generateTemporaryModelVersionCredentials`), errors its `GlobalExceptionHandler` and `ErrorCode`:
https://github.com/unitycatalog/unitycatalog.
"""

from aiohttp import web

from tests.emulators.amazon_bedrock.signature import TEMPORARY_KEY
from tests.emulators.emulator import Emulator, Json, Refusal
from tests.emulators.openai.parsing import parse_body

_API = "/api/2.1/unity-catalog"
# All are required of `GenerateTemporaryModelVersionCredential`.
_ASKED = {"catalog_name", "schema_name", "model_name", "version", "operation"}
_STATUSES = ("PENDING_REGISTRATION", "FAILED_REGISTRATION", "READY")


class UnityCatalogEmulator(Emulator):
    """The server.

    Attributes:
        versions: Storage location and status of each version, by the model's full name.
        token: What has to be given; empty: the server runs without authorization, as it does at
            first.
        vends: Whether credentials for the bucket are configured.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.versions: dict[str, dict[int, tuple[str, str]]] = {}
        self.token = ""
        self.vends = True

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get(f"{_API}/models/{{name}}/versions/{{version}}", self.route(self._get))
        app.router.add_post(
            f"{_API}/temporary-model-version-credentials", self.route(self._give_credential)
        )

    def error_body(self, status: int) -> Json:
        return _error("INTERNAL", f"emulated failure ({status})")

    def error_event(self, body: Json) -> bytes:
        raise NotImplementedError

    async def _get(self, request: web.Request) -> web.StreamResponse:
        await self.record(request, bytes.decode)
        self._authorize(request)
        name, number = request.match_info["name"], request.match_info["version"]
        if not number.isdecimal():
            raise Refusal(400, _error("INVALID_ARGUMENT", f"version: {number}"))
        location, status = self._find(name, int(number))
        catalog, schema, model = name.split(".")
        return await self.send_document(
            request,
            name,
            {
                "model_name": model,
                "catalog_name": catalog,
                "schema_name": schema,
                "version": int(number),
                "source": "runs:/0/model",
                "run_id": None,
                "status": status,
                "storage_location": location,
                "created_at": 1735689600000,
                "id": "00000000-0000-0000-0000-000000000001",
            },
        )

    async def _give_credential(self, request: web.Request) -> web.StreamResponse:
        body = await self.record(request, parse_body)
        self._authorize(request)
        if not isinstance(body, dict) or set(body) != _ASKED or type(body["version"]) is not int:
            raise Refusal(400, _error("INVALID_ARGUMENT", f"fields: {body}"))
        name = ".".join(body[part] for part in ("catalog_name", "schema_name", "model_name"))
        location, status = self._find(name, body["version"])
        if location.startswith("file"):
            message = "Cannot request credentials on a model version with a file based location"
            raise Refusal(400, _error("INVALID_ARGUMENT", message))
        # Once it is finalized, a version can only be read.
        if body["operation"] != "READ_MODEL_VERSION" or status == "FAILED_REGISTRATION":
            raise Refusal(400, _error("INVALID_ARGUMENT", f"{body['operation']} while {status}"))
        if not self.vends:
            message = "S3 bucket configuration not found."
            raise Refusal(400, _error("FAILED_PRECONDITION", message))
        given = {
            "access_key_id": TEMPORARY_KEY.key_id,
            "secret_access_key": TEMPORARY_KEY.secret,
            "session_token": TEMPORARY_KEY.token,
        }
        document = {"aws_temp_credentials": given, "expiration_time": 1735693200000}
        return await self.send_document(request, name, document)

    def _authorize(self, request: web.Request) -> None:
        given = request.headers.get("Authorization")
        if self.token and given != f"Bearer {self.token}":
            raise Refusal(401, _error("UNAUTHENTICATED", "Invalid access token."))

    def _find(self, name: str, version: int) -> tuple[str, str]:
        versions = self.versions.get(name)
        if versions is None:
            raise Refusal(404, _error("NOT_FOUND", f"Registered model not found: {name}"))
        if version not in versions:
            raise Refusal(404, _error("NOT_FOUND", f"Model version not found: {name}/{version}"))
        location, status = versions[version]
        assert status in _STATUSES
        return location, status


def _error(code: str, message: str) -> Json:
    detail = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code}
    return {"error_code": code, "message": message, "details": [detail]}
