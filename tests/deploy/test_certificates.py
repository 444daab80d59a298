"""Certificates are made once, renewed in time, and readable by their owner only."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from modelplane.deploy import certificates
from modelplane.deploy.certificates import (
    CONTROL_PLANE,
    ENVOY,
    WORKER,
    CertificateDir,
    read_identity,
)
from modelplane.deploy.command.cli import main

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOSTS = ["127.0.0.1", "control-plane"]


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def test_made_once(tmp_path: Path) -> None:
    directory = CertificateDir(tmp_path / "a" / "tls")
    everything = ["ca.crt", "control-plane.crt", "worker.crt", "envoy.crt", "launcher.crt"]
    assert names(directory.ensure(HOSTS, NOW)) == everything
    assert directory.ensure(HOSTS, NOW) == []
    assert directory.path.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in directory.path.iterdir()} == {0o600}


def test_servers_and_clients_of_one_ca(tmp_path: Path) -> None:
    CertificateDir(tmp_path).ensure(HOSTS, NOW)
    authority = read_identity(tmp_path, "ca")
    assert authority
    for name, used in (
        (CONTROL_PLANE, ["serverAuth"]),
        (WORKER, ["clientAuth", "serverAuth"]),
        (ENVOY, ["clientAuth"]),
    ):
        identity = read_identity(tmp_path, name)
        assert identity
        assert isinstance(identity.key.curve, ec.SECP256R1)
        identity.certificate.verify_directly_issued_by(authority.certificate)
        extensions = identity.certificate.extensions
        usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert [one._name for one in usages] == used
    server = read_identity(tmp_path, CONTROL_PLANE)
    assert server
    alternatives = server.certificate.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value
    assert alternatives.get_values_for_type(x509.DNSName) == ["control-plane"]
    assert [str(ip) for ip in alternatives.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_renewed_before_they_expire(tmp_path: Path) -> None:
    directory = CertificateDir(tmp_path)
    directory.ensure(HOSTS, NOW)
    assert directory.ensure(HOSTS, NOW + timedelta(days=270)) == []
    later = NOW + timedelta(days=280)
    assert names(directory.ensure(HOSTS, later)) == [
        "control-plane.crt",
        "worker.crt",
        "envoy.crt",
        "launcher.crt",
    ]
    assert directory.ensure(HOSTS, later) == []
    last = NOW + timedelta(days=3600)
    assert names(directory.ensure(HOSTS, last))[0] == "ca.crt"


def test_made_anew_for_other_hosts(tmp_path: Path) -> None:
    directory = CertificateDir(tmp_path)
    directory.ensure(HOSTS, NOW)
    assert names(directory.ensure(["10.0.0.1"], NOW)) == ["control-plane.crt"]


def test_made_anew_where_they_do_not_say_what_they_are_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = CertificateDir(tmp_path)
    with monkeypatch.context() as patched:
        # As workers' were before any was called by an Envoy.
        patched.setitem(certificates._USAGES, WORKER, certificates._USAGES[ENVOY])
        directory.ensure(HOSTS, NOW)
    assert names(directory.ensure(HOSTS, NOW)) == ["worker.crt"]


@pytest.mark.parametrize("lost", ["ca.crt", "ca.key", "worker.key", "worker.crt"])
def test_what_was_lost_is_made_anew(lost: str, tmp_path: Path) -> None:
    directory = CertificateDir(tmp_path)
    directory.ensure(HOSTS, NOW)
    (tmp_path / lost).unlink()
    made = names(directory.ensure(HOSTS, NOW))
    assert made == (
        ["ca.crt", "control-plane.crt", "worker.crt", "envoy.crt", "launcher.crt"]
        if "ca" in lost
        else ["worker.crt"]
    )
    assert directory.ensure(HOSTS, NOW) == []


@pytest.mark.parametrize("name", ["ca", "worker"])
def test_a_certificate_beside_anothers_key_is_made_anew(name: str, tmp_path: Path) -> None:
    directory, other = CertificateDir(tmp_path / "a"), CertificateDir(tmp_path / "b")
    for each in (directory, other):
        each.ensure(HOSTS, NOW)
    (other.path / f"{name}.key").replace(directory.path / f"{name}.key")
    assert f"{name}.crt" in names(directory.ensure(HOSTS, NOW))
    assert directory.ensure(HOSTS, NOW) == []


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["certs", "--dir", str(tmp_path / "tls"), "--hosts", "cp-1, 10.0.0.1"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("made ") == 5
    assert main(arguments) == 0
    assert capsys.readouterr().out == ""
    (tmp_path / "file").write_text("")
    assert main(["certs", "--dir", str(tmp_path / "file")]) == 2
    assert "cannot use" in capsys.readouterr().err
    (tmp_path / "tls" / "worker.key").write_text("no key")
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("modelplane certs: ")


def test_keda_and_the_names_by_which_it_finds_the_launcher(tmp_path: Path) -> None:
    assert (
        main(["certs", "--dir", str(tmp_path), "--launcher-hosts", "launcher.svc, 10.1.2.3"]) == 0
    )
    keda, launcher = read_identity(tmp_path, "keda"), read_identity(tmp_path, "launcher")
    assert keda
    assert launcher
    names = [
        one.certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        for one in (keda, launcher)
    ]
    assert names[0] == x509.SubjectAlternativeName([x509.DNSName("keda")])
    assert names[1].get_values_for_type(x509.DNSName) == ["launcher", "launcher.svc"]
    assert [str(one) for one in names[1].get_values_for_type(x509.IPAddress)] == ["10.1.2.3"]
