"""Settings of a launcher that do not go together, or mean nothing."""

from pathlib import Path

import pytest

from modelplane.adapters.shared.rpc.tls import TokenFiles
from modelplane.adapters.shared.settings import load
from modelplane.launcher.settings import Settings, parse_labels


def settings(**given: str) -> Settings:
    return load(Settings, "modelplane launcher", [], given)


def test_a_host_has_a_token_in_the_place_of_a_certificate() -> None:
    given = {
        "MODELPLANE_CONTROL_PLANE": "launcher:9093",
        "MODELPLANE_LAUNCHER_TOKEN_FILE": "/token",
        "MODELPLANE_TLS_CA": "/ca.crt",
    }
    assert settings(**given).tls == TokenFiles(Path("/ca.crt"), Path("/token"), "launcher")
    assert settings(**given).secures_replicas
    for wrong in ({"MODELPLANE_TLS_CA": ""}, {"MODELPLANE_TLS_CERT": "/own.crt"}):
        with pytest.raises(ValueError, match="MODELPLANE_LAUNCHER_TOKEN_FILE"):
            _ = settings(**given | wrong).tls


def test_replicas_that_others_reach_speak_tls() -> None:
    assert not settings().secures_replicas
    assert not settings(MODELPLANE_REPLICA_HOST="::1").secures_replicas
    assert settings(MODELPLANE_REPLICA_HOST="10.1.2.3").secures_replicas
    with pytest.raises(SystemExit):
        settings(MODELPLANE_REPLICA_HOST="machine.example.com")


@pytest.mark.parametrize(
    ("backend", "variable", "value"),
    [
        ("local", "MODELPLANE_KUBERNETES_IMAGE", "image:1"),
        ("local", "MODELPLANE_CLUSTER_GPUS", "2"),
        ("local", "MODELPLANE_KUBERNETES_SCALING", "keda"),
        ("kubernetes", "MODELPLANE_REPLICA_HOST", "10.1.2.3"),
        ("kubernetes", "MODELPLANE_LAUNCHER_USERS", ""),
        ("kubernetes", "MODELPLANE_RAY_API", "http://ray:8265"),
        ("local", "MODELPLANE_RAY_TOKEN_FILE", "/token"),
        ("ray", "MODELPLANE_KUBERNETES_IMAGE", "image:1"),
        ("ray", "MODELPLANE_REPLICA_HOST", "10.1.2.3"),
    ],
)
def test_what_is_of_another_backend_is_refused(
    backend: str, variable: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        load(Settings, "modelplane launcher", ["--backend", backend], {variable: value})
    assert f"{variable} has no effect with --backend {backend}" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["LISTEN", "ADDRESS", "AUTHENTICATION"])
def test_what_is_kedas_is_refused_where_it_does_not_scale(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {f"MODELPLANE_KEDA_{name}": "keda:9"}
    with pytest.raises(SystemExit):
        load(Settings, "modelplane launcher", ["--backend", "kubernetes"], given)
    assert "no effect without MODELPLANE_KUBERNETES_SCALING=keda" in capsys.readouterr().err


def test_memory_of_a_cluster_is_an_amount() -> None:
    assert settings(MODELPLANE_LAUNCHER_MEMORY="64GiB").cluster_memory_bytes == 64 << 30
    with pytest.raises(ValueError, match="as 64GiB"):
        _ = settings().cluster_memory_bytes


def test_labels_of_machines_are_read() -> None:
    given = settings(MODELPLANE_RAY_LABELS="", MODELPLANE_LAUNCHER_POOL="a")
    assert given.labels == {}
    assert parse_labels(" pool=models; zone=!in(a, b);") == {"pool": "models", "zone": "!in(a, b)"}
    for wrong in ("pool", "=a", "pool=", "a=b,c=d; e"):
        with pytest.raises(ValueError, match="no label"):
            parse_labels(wrong)
