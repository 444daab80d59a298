"""The programs of `docs/grpc.md`, from the protos that the deployment hands out to their answers.

They are generated, built and run as the page says, with the libraries of Debian: for Go
`golang-go`, `protoc-gen-go-1-5`, `protoc-gen-go-grpc`, `golang-google-grpc-dev`,
`golang-github-golang-protobuf-1-5-dev` and `protobuf-compiler`; for Java a JDK, `libgrpc-java`,
`libprotobuf-java` and `protobuf-compiler-grpc-java-plugin`. TypeScript's come by npm, locked.
"""

import io
import os
import re
import shutil
import zipfile
from pathlib import Path

import pytest
import requests

from tests.clients.environments import node_home, run
from tests.e2e.rest import Rest, endpoint, entity
from tests.e2e.system import System
from tests.emulators.openai import OpenAiEmulator

pytestmark = pytest.mark.timeout(700)

PAGE = Path(__file__).parents[2] / "docs" / "grpc.md"
JARS = Path("/usr/share/java")
GO_LIBRARIES = Path("/usr/share/gocode")
_SECONDS = 300.0


@pytest.fixture(autouse=True)
def served(rest: Rest, provider: OpenAiEmulator) -> None:
    rest.create(endpoint("chat", entity(provider)))


@pytest.fixture(name="protos")
def _protos(system: System, tmp_path: Path) -> Path:
    """Give a folder with what the deployment hands out."""
    answer = requests.get(f"{system.url}/api/2.0/protos", headers=system.headers, timeout=30)
    assert answer.headers["Content-Type"] == "application/zip"
    folder = tmp_path / "protos"
    zipfile.ZipFile(io.BytesIO(answer.content)).extractall(folder)
    return folder


def program(language: str) -> str:
    """Return the page's program in a language."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return str(text)


def generate(protos: Path, home: Path, *options: str) -> None:
    """Generate code with the compiler of the machine."""
    files = [str(path.relative_to(protos)) for path in (protos / "modelserving/v1").glob("*.proto")]
    run(["protoc", f"-I{protos}", *options, *files], home, _SECONDS)


def check(said: str) -> None:
    """See that a program has asked once, in a stream, and for what there is not."""
    whole, streamed, failed = said.strip().splitlines()
    assert "Hello there" in whole
    assert streamed == whole
    assert failed.replace("_", "").upper() == "NOTFOUND"


def variables(system: System, home: Path) -> dict[str, str]:
    return {
        "PATH": os.defpath,
        "HOME": str(home),
        "TARGET": system.target,
        "TOKEN": system.token,
        "no_proxy": "127.0.0.1",
    }


def test_go(system: System, protos: Path, tmp_path: Path) -> None:
    home = tmp_path / "src" / "example.com" / "app"
    home.mkdir(parents=True)
    generate(protos, home, f"--go_out={home}", f"--go-grpc_out={home}")
    (home / "main.go").write_text(program("go"))
    own = {"GO111MODULE": "off", "GOPATH": f"{tmp_path}:{GO_LIBRARIES}", "GOFLAGS": "-mod=mod"}
    own |= variables(system, tmp_path)
    run(["go", "build", "-o", "ask", "."], home, _SECONDS, own)
    check(run([str(home / "ask")], home, _SECONDS, own))


def test_java(system: System, protos: Path, tmp_path: Path) -> None:
    plugin = shutil.which("grpc_java_plugin") or "protoc-gen-grpc-java"
    home = tmp_path / "java"
    home.mkdir()
    plugged = (f"--plugin=protoc-gen-grpc-java={plugin}", f"--grpc-java_out={home}")
    generate(protos, home, f"--java_out={home}", *plugged)
    (home / "Ask.java").write_text(program("java"))
    path = f"{home}:{JARS}/*"
    sources = [str(source) for source in home.rglob("*.java")]
    run(["javac", "-nowarn", "-cp", path, *sources], home, _SECONDS)
    check(run(["java", "-cp", path, "Ask"], home, _SECONDS, variables(system, home)))


def test_typescript(system: System, protos: Path, tmp_path: Path) -> None:
    node, home = node_home("typescript")
    [options] = re.findall(r"--ts_proto_opt=\S+", PAGE.read_text())
    plugin = home / "node_modules/.bin/protoc-gen-ts_proto"
    generate(protos, home, f"--plugin={plugin}", f"--ts_proto_out={home}", options)
    (home / "ask.ts").write_text(program("typescript"))
    built = ("--outDir", str(tmp_path / "built"), "--target", "es2022", "--module", "commonjs")
    compiler = str(home / "node_modules/typescript/bin/tsc")
    own = variables(system, home) | {"NODE_PATH": str(home / "node_modules")}
    run(
        [node, compiler, "--strict", *built, "--esModuleInterop", "--skipLibCheck", "ask.ts"],
        home,
        _SECONDS,
        own,
    )
    check(run([node, str(tmp_path / "built" / "ask.js")], home, _SECONDS, own))
