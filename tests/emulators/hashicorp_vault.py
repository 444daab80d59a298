"""A strict HashiCorp Vault for tests: the key-value engine, version 2."""

from aiohttp import web

from tests.emulators.emulator import Emulator, Json, Refusal

TOKEN = "hvs.emulated-token-of-vault"


class VaultEmulator(Emulator):
    """The service, with one engine mounted at `secret`.

    Attributes:
        secrets: Fields of each secret by its path; None: its newest version was deleted.
        token: Token that is accepted.
        sealed: Whether it answers nothing.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(port)
        self.secrets: dict[str, Json | None] = {}
        self.token = TOKEN
        self.sealed = False

    def add_routes(self, app: web.Application) -> None:
        app.router.add_get("/v1/{path:.*}", self.route(self._read))

    def error_body(self, status: int) -> Json:
        return {"errors": [f"emulated failure ({status})"]}

    def error_event(self, body: Json) -> bytes:
        raise NotImplementedError

    async def _read(self, request: web.Request) -> web.StreamResponse:
        await self.record(request, bytes.decode)
        if self.sealed:
            raise Refusal(503, {"errors": ["Vault is sealed"]})
        if request.headers.get("X-Vault-Request") != "true":
            raise Refusal(400, {"errors": ["missing required X-Vault-Request header"]})
        if request.headers.get("X-Vault-Token") != self.token:
            raise Refusal(403, {"errors": ["permission denied"]})
        path = request.match_info["path"]
        if not path.startswith("secret/data/"):
            raise Refusal(404, {"errors": [f'no handler for route "{path}"']})
        name = path.removeprefix("secret/data/")
        if name not in self.secrets:
            raise Refusal(404, {"errors": []})
        metadata = {"version": 1, "destroyed": False, "deletion_time": ""}
        fields = self.secrets[name]
        if fields is None:
            deleted = {"data": None, "metadata": metadata | {"deletion_time": "2026-01-01"}}
            raise Refusal(404, {"data": deleted})
        return web.json_response({"data": {"data": fields, "metadata": metadata}})
