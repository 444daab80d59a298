"""What may be connected to: public addresses, and what the operator allows."""

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
    assert not EgressPolicy().allows("api.example.com", address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are(address: str) -> None:
    assert EgressPolicy().allows("api.example.com", address)


def test_what_is_no_address_is_not() -> None:
    assert not EgressPolicy().allows("api.example.com", "nonsense")


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
    assert policy.allows("a", "10.1.2.3")
    assert not policy.allows("a", "10.2.0.1")
    assert policy.allows("a", "::ffff:10.1.0.9")
    assert policy.allows("a", "fd00::5")
    assert policy.allows("VLLM.internal.", "10.9.9.9")
    assert policy.allows("x.svc.cluster.local", "192.168.0.1")
    assert not policy.allows("svc.cluster.local", "192.168.0.1")
    assert not policy.allows("evil-vllm.internal", "192.168.0.1")
    assert policy.allows_url("http://127.0.0.1:8000/v1")
    assert policy.allows_url("http://localhost:8000/v1")
    assert not policy.allows_url("http://127.0.0.2/")


@pytest.mark.parametrize("text", ["10.0.0.0/99", "http://x", "::1::2"])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="MODELPLANE_ALLOWED_UPSTREAMS"):
        parse_policy(text)


@pytest.mark.parametrize("text", ["*", "10.0.0.0/8,*", "*.", "."])
def test_everything_is_allowed_by_its_addresses_only(text: str) -> None:
    with pytest.raises(ValueError, match=r"would allow every host.*0\.0\.0\.0/0,::/0"):
        parse_policy(text)
    assert parse_policy("0.0.0.0/0,::/0").allows_url("http://127.0.0.1:8000/v1")
