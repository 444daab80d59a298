"""What may be connected to: public addresses, and what the operator allows."""

import socket

import pytest

from modelplane.adapters.shared.egress import EgressPolicy, parse_policy

INSIDE = [
    "127.0.0.1",
    "127.8.9.10",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "2002:7f00:1::",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::a9fe:a9fe",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "fec0::1",
    "198.18.0.1",
    "240.0.0.1",
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", INSIDE)
def test_inside_addresses_are_not_connected_to(address: str) -> None:
    assert not EgressPolicy().allows("api.example.com", address, 443)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are(address: str) -> None:
    assert EgressPolicy().allows("api.example.com", address, 443)


def test_what_is_no_address_is_not() -> None:
    assert not EgressPolicy().allows("api.example.com", "nonsense", 443)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/v1",
        "http://localhost:11434/v1",
        "http://LOCALHOST./v1",
        "http://metadata.localhost",
        "http://[::1]:8000/v1",
        "http://[::ffff:10.0.0.1]/",
        "http://127.1/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://169.254.169.254/latest/meta-data",
        "http://user@10.0.0.1/",
    ],
)
def test_urls_that_name_an_inside_address_are_refused(url: str) -> None:
    assert not EgressPolicy().allows_url(url)


@pytest.mark.parametrize(
    "url",
    ["https://api.openai.com/v1", "https://8.8.8.8/", "http://vllm.internal", "http://1.2.3.4.5"],
)
def test_a_name_is_judged_when_it_is_resolved(url: str) -> None:
    assert EgressPolicy().allows_url(url)


def test_the_operator_allows_networks_addresses_and_names() -> None:
    policy = parse_policy("10.1.0.0/16, 127.0.0.1,vllm.Internal,*.svc.cluster.local, fd00::/8")
    assert policy.allows("a", "10.1.2.3", 443)
    assert not policy.allows("a", "10.2.0.1", 443)
    assert policy.allows("a", "::ffff:10.1.0.9", 443)
    assert policy.allows("a", "fd00::5", 443)
    assert policy.allows("VLLM.internal.", "10.9.9.9", 443)
    assert policy.allows("x.svc.cluster.local", "192.168.0.1", 443)
    assert not policy.allows("svc.cluster.local", "192.168.0.1", 443)
    assert not policy.allows("evil-vllm.internal", "192.168.0.1", 443)
    assert policy.allows_url("http://127.0.0.1:8000/v1")
    assert policy.allows_url("http://localhost:8000/v1")
    assert not policy.allows_url("http://127.0.0.2/")


@pytest.mark.parametrize(
    "text", ["10.0.0.0/99", "http://x", "::1::2", "*", ".", "10.0.0.1:x", "a:1:2", "*.*"]
)
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="MODELPLANE_ALLOWED_UPSTREAMS"):
        parse_policy(text)


@pytest.mark.parametrize("text", ["*", "10.0.0.0/8,*", "*.", "."])
def test_everything_is_allowed_by_its_addresses_only(text: str) -> None:
    with pytest.raises(ValueError, match=r"would allow every host.*0\.0\.0\.0/0,::/0"):
        parse_policy(text)
    assert parse_policy("0.0.0.0/0,::/0").allows_url("http://127.0.0.1:8000/v1")


def test_an_entry_may_name_the_port() -> None:
    policy = parse_policy("127.0.0.1:8000,10.0.0.0/8:8001,[fd00::/8]:8002,[::1]:8003,vllm:8004")
    for host, address, port in (
        ("localhost", "127.0.0.1", 8000),
        ("a", "10.1.1.1", 8001),
        ("a", "fd00::5", 8002),
        ("a", "::1", 8003),
        ("vllm", "192.168.0.1", 8004),
    ):
        assert policy.allows(host, address, port)
        assert not policy.allows(host, address, 9901)
    assert policy.allows_url("http://127.0.0.1:8000/v1")
    assert not policy.allows_url("http://127.0.0.1/v1")


OWN = "127.0.0.1:9901,db.internal:5432,10.0.0.7:9090"


@pytest.mark.parametrize(
    ("host", "address", "port"),
    [
        ("127.0.0.1", "127.0.0.1", 9901),
        ("a.example.com", "127.0.0.1", 9901),
        ("a.example.com", "127.9.9.9", 9901),
        ("a.example.com", "::1", 9901),
        ("a.example.com", "::ffff:127.0.0.1", 9901),
        ("a.example.com", "0.0.0.0", 9901),
        ("DB.internal.", "10.5.5.5", 5432),
        ("a.example.com", "10.0.0.7", 9090),
    ],
)
def test_nothing_allows_the_deployments_own_parts(host: str, address: str, port: int) -> None:
    everything = "0.0.0.0/0,::/0,db.internal,.example.com,127.0.0.1:9901"
    policy = parse_policy(everything, OWN)
    assert parse_policy(everything).allows(host, address, port)
    assert not policy.allows(host, address, port)
    assert policy.allows(host, address, 8000)


def test_a_machines_other_addresses_are_its_own_too() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Sends nothing, but chooses the address that would be sent from.
        probe.connect(("192.0.2.1", 9))
        address = str(probe.getsockname()[0])
    policy = parse_policy("0.0.0.0/0", OWN)
    assert not policy.allows("a", address, 9901)
    assert policy.allows("a", "192.0.2.1", 9901)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "2130706433", "0"])
def test_the_control_plane_refuses_them_by_url(host: str) -> None:
    policy = parse_policy("127.0.0.0/8,::1,0.0.0.0", OWN)
    assert policy.allows_url(f"http://{host}:8000/v1")
    assert not policy.allows_url(f"http://{host}:9901/v1")


@pytest.mark.parametrize("everywhere", ["0.0.0.0:8080", "[::]:8080"])
def test_what_listens_everywhere_is_at_each_address_of_its_machine(everywhere: str) -> None:
    policy = parse_policy("0.0.0.0/0,::/0", everywhere)
    for address in ("127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1"):
        assert not policy.allows("a.example.com", address, 8080)
        assert policy.allows("a.example.com", address, 8081)
    assert policy.allows("a.example.com", "8.8.8.8", 8080)
    assert not policy.allows_url("http://localhost:8080/serving-endpoints")


def test_an_own_name_is_refused_before_it_is_resolved() -> None:
    policy = parse_policy("", "gateway.example.com:443,gateway.internal:8080")
    assert not policy.allows_url("https://gateway.example.com/serving-endpoints")
    assert not policy.allows_url("http://Gateway.internal.:8080")
    assert policy.allows_url("http://gateway.example.com/")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"])
def test_the_deployments_own_ports_are_told_from_what_could_be_allowed(host: str) -> None:
    policy = parse_policy("", OWN)
    for port, is_own in ((9901, True), (8000, False)):
        url = f"http://{host}:{port}/v1"
        assert (policy.allows_url(url), policy.is_own_url(url)) == (False, is_own)
    assert policy.is_own_url("http://db.internal:5432")
    assert not policy.is_own_url("http://db.internal:5433")
