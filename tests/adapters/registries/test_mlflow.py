"""Faults of an MLflow server, each as it answers or as one that is broken would."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from modelplane.adapters.registries.base import (
    MAX_MLMODEL_BYTES,
    ModelNotFound,
    ModelUnusable,
    Registry,
    RegistryError,
    RegistryRefused,
    RegistryUnavailable,
    digest_of,
)
from modelplane.adapters.registries.kinds import open_registry, parse_place

NAME = "catalog.schema.model"
API = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
MLMODEL = b"flavors: {python_function: {}}"
MISSING = "RESOURCE_DOES_NOT_EXIST"
ROOT = "0/models/m-1/artifacts"


class FakeServer:
    """Answers as MLflow 3 does; a test may put other answers in place."""

    def __init__(self) -> None:
        self.version: dict[str, object] = {"name": NAME, "version": "3", "status": "READY"}
        self.location = f"mlflow-artifacts:/{ROOT}"
        self.files: dict[str, bytes] = {"MLmodel": MLMODEL, "code/deep/a b.py": b"x = 1"}
        # Listed in their place, by folder.
        self.listed: dict[str, list[object]] = {}
        self.override: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        self.authorization: list[str | None] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.authorization.append(request.headers.get("Authorization"))
        if self.override:
            return await self.override(request)
        if request.path.startswith(FILES):
            return self._file(request)
        found = self._known(request.path.removeprefix(API), dict(request.query))
        if found is None:
            alias = request.path.endswith("/alias") and request.query["name"] == NAME
            # An alias that there is not is a wrong parameter to MLflow.
            return _error(*((400, "INVALID_PARAMETER_VALUE") if alias else (404, MISSING)))
        return web.json_response(found)

    def _known(self, path: str, query: dict[str, str]) -> object:
        if query.pop("name") != NAME:
            return None
        match path, query:
            case ("/model-versions/get", {"version": "3"}) | (
                "/registered-models/alias",
                {"alias": "champion"},
            ):
                return {"model_version": self.version}
            case "/registered-models/get", _:
                return {"registered_model": {"name": NAME}}
            case "/model-versions/get-download-uri", {"version": "3"}:
                return {"artifact_uri": self.location}
        return None

    def _file(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix(FILES).strip("/").removeprefix(ROOT).strip("/")
        if path in self.files:
            return web.Response(body=self.files[path])
        if path:
            return _error(404, MISSING)
        folder = request.query["path"].removeprefix(ROOT).strip("/")
        return web.json_response({"files": self.listed.get(folder) or self._list(folder)})

    def _list(self, folder: str) -> list[dict[str, object]]:
        found: dict[str, dict[str, object]] = {}
        for path, content in self.files.items():
            if path.startswith(f"{folder}/" if folder else ""):
                name, _, deeper = path.removeprefix(folder).strip("/").partition("/")
                size = None if deeper else len(content)
                found[name] = {"path": name, "is_dir": bool(deeper), "file_size": size}
        return list(found.values())


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"error_code": code, "message": "not found"}, status=status)


@pytest.fixture
async def server() -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    application = web.Application()
    application.router.add_get("/{path:.*}", fake.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


def opened(url: str, credential: str = "") -> Registry:
    place = parse_place(f"mlflow:{url}", credential)
    assert place
    return open_registry(place)


def nothing(_done: int, _total: int) -> None:
    """Take no note."""


@pytest.mark.parametrize("asked", ["3", "@champion"])
async def test_a_version_is_found_and_fetched(
    server: FakeServer, tmp_path: Path, asked: str
) -> None:
    registry = opened(f"{server.url}/")
    source = await registry.version(NAME, asked)
    assert (source.uri, source.version, source.location) == (server.url, "3", server.location)
    source.digest = digest_of(await registry.read_mlmodel(source))
    told: list[tuple[int, int]] = []
    await registry.download(source, tmp_path, lambda done, total: told.append((done, total)))
    assert (tmp_path / "code" / "deep" / "a b.py").read_bytes() == b"x = 1"
    assert (tmp_path / "MLmodel").read_bytes() == MLMODEL
    assert told[-1] == (len(MLMODEL) + 5, len(MLMODEL) + 5)


@pytest.mark.parametrize(
    ("credential", "header"),
    [
        ("", None),
        ("bearer abc", "Bearer abc"),
        ("Basic me:pass word", "Basic " + base64.b64encode(b"me:pass word").decode()),
    ],
)
async def test_the_credential_goes_with_each_call(
    server: FakeServer, credential: str, header: str | None
) -> None:
    registry = opened(server.url, credential)
    await registry.read_mlmodel(await registry.version(NAME, "3"))
    assert set(server.authorization) == {header}


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("nope", "3", "Registered model 'nope' does not exist."),
        ("nope", "@a", "Registered model 'nope' does not exist."),
        (NAME, "9", f"Model '{NAME}' has no version 9."),
        (NAME, "@nobody", f"Model '{NAME}' has no alias 'nobody'."),
    ],
)
async def test_what_is_not_there(server: FakeServer, name: str, version: str, message: str) -> None:
    registry = opened(server.url)
    with pytest.raises(ModelNotFound, match=message):
        await registry.version(name, version)


@pytest.mark.parametrize(
    "location", ["s3://bucket/m", "mlflow-artifacts://elsewhere/0/m", "runs:/1"]
)
async def test_files_that_the_server_does_not_hand_out(server: FakeServer, location: str) -> None:
    server.location = location
    registry = opened(server.url)
    with pytest.raises(ModelUnusable, match="--serve-artifacts"):
        await registry.version(NAME, "3")


async def test_a_folder_of_this_machine(server: FakeServer, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "MLmodel").write_bytes(MLMODEL)
    server.location = (tmp_path / "m").as_uri()
    registry = opened(server.url)
    source = await registry.version(NAME, "3")
    assert await registry.read_mlmodel(source) == MLMODEL


async def test_a_version_that_is_not_ready(server: FakeServer) -> None:
    server.version |= {"status": "FAILED_REGISTRATION", "status_message": "no space"}
    registry = opened(server.url)
    with pytest.raises(ModelUnusable, match="is FAILED_REGISTRATION: no space; wait until it"):
        await registry.version(NAME, "3")


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, "", RegistryRefused),
        (403, "", RegistryRefused),
        (302, "", RegistryUnavailable),
        (404, "<html>", RegistryUnavailable),
        (500, '{"error_code": "INTERNAL_ERROR"}', RegistryUnavailable),
        (200, "<html>", RegistryUnavailable),
        (200, "[]", RegistryUnavailable),
    ],
)
async def test_answers_of_another_kind(
    server: FakeServer, status: int, body: str, error: type[RegistryError]
) -> None:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers={"Location": "/elsewhere"})

    server.override = answer
    registry = opened(server.url)
    with pytest.raises(error):
        await registry.version(NAME, "3")


async def test_a_server_that_is_away() -> None:
    registry = opened("http://127.0.0.1:1")
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        await registry.version(NAME, "3")


@pytest.mark.parametrize("name", ["../x", "..", "", "a/b", "a\\b", 7, None])
async def test_names_that_lead_out_of_the_folder(
    server: FakeServer, tmp_path: Path, name: object
) -> None:
    registry = opened(server.url)
    source = await registry.version(NAME, "3")
    server.listed[""] = [{"path": name, "is_dir": False, "file_size": 1}]
    with pytest.raises(ModelUnusable, match="name cannot be used"):
        await registry.download(source, tmp_path, nothing)


@pytest.mark.parametrize("size", [1, 1000])
async def test_a_file_of_another_length(server: FakeServer, tmp_path: Path, size: int) -> None:
    registry = opened(server.url)
    source = await registry.version(NAME, "3")
    server.listed[""] = [{"path": "MLmodel", "is_dir": False, "file_size": size}]
    with pytest.raises(RegistryUnavailable, match=f"of a file that has {size}"):
        await registry.download(source, tmp_path, nothing)


async def test_a_line_that_breaks(server: FakeServer, tmp_path: Path) -> None:
    registry = opened(server.url)
    source = await registry.version(NAME, "3")

    async def cut_off(request: web.Request) -> web.StreamResponse:
        if request.query:
            return web.json_response({"files": [{"path": "MLmodel", "file_size": 30}]})
        response = web.StreamResponse(headers={"Content-Length": "30"})
        await response.prepare(request)
        await response.write(b"flavors")
        assert request.transport
        request.transport.abort()
        await asyncio.sleep(0)
        return response

    server.override = cut_off
    with pytest.raises(RegistryUnavailable, match="does not answer"):
        await registry.download(source, tmp_path, nothing)


async def test_folders_without_end_are_not_followed(server: FakeServer, tmp_path: Path) -> None:
    registry = opened(server.url)
    source = await registry.version(NAME, "3")

    async def deeper(_request: web.Request) -> web.Response:
        return web.json_response({"files": [{"path": "d", "is_dir": True}]})

    server.override = deeper
    with pytest.raises(ModelUnusable, match="nested deeper"):
        await registry.download(source, tmp_path, nothing)


async def test_models_that_are_none(server: FakeServer, tmp_path: Path) -> None:
    registry = opened(server.url)
    source = await registry.version(NAME, "3")
    server.files["MLmodel"] = b"x" * (MAX_MLMODEL_BYTES + 1)
    with pytest.raises(ModelUnusable, match="longer than"):
        await registry.read_mlmodel(source)
    source.digest = digest_of(MLMODEL)
    with pytest.raises(ModelUnusable, match="no longer those"):
        await registry.download(source, tmp_path, nothing)
    del server.files["MLmodel"]
    with pytest.raises(ModelUnusable, match="has no MLmodel file"):
        await registry.read_mlmodel(source)


@pytest.mark.parametrize(
    ("text", "credential"),
    [
        ("http://127.0.0.1:5000", ""),
        ("mlflow:127.0.0.1:5000", ""),
        ("mlflow:http://user:pass@host", ""),
        ("directory:", ""),
        ("mlflow:http://host", "abc"),
        ("mlflow:http://host", "bearer"),
        ("mlflow:http://host", "digest x"),
        ("mlflow:http://host", "bearer a\nb"),
    ],
)
def test_settings_of_another_form(text: str, credential: str) -> None:
    with pytest.raises(ValueError, match=r"write the|begins with"):
        parse_place(text, credential)


def test_without_a_setting_there_is_no_registry() -> None:
    assert parse_place("") is None
