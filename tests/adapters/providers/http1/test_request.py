import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelplane.adapters.providers.http1.errors import RequestInvalid
from modelplane.adapters.providers.http1.request import (
    Origin,
    encode_head,
    parse_origin,
    parse_target,
)
from modelplane.adapters.providers.types import HttpRequest


def head_of(
    url: str = "http://h/", headers: dict[str, str] | None = None, method: str = "POST"
) -> bytes:
    return encode_head(parse_target(url), HttpRequest("p", url, headers or {}, b"{}", method))


def test_a_head_is_what_the_request_says() -> None:
    assert (
        head_of("https://Host:8443/v1/a%2Fb?x=%20&y", {"authorization": "Bearer ü"})
        == (
            "POST /v1/a%2Fb?x=%20&y HTTP/1.1\r\nhost: Host:8443\r\nuser-agent: modelplane\r\n"
            "accept-encoding: identity\r\naccept: */*\r\nauthorization: Bearer ü\r\n"
            "content-length: 2\r\n\r\n"
        ).encode()
    )


def test_each_head_is_its_own_requests_though_most_are_alike() -> None:
    headers = {"authorization": "Bearer a"}
    first = head_of("http://same/", headers)
    assert head_of("http://same/", dict(headers)) == first
    assert b"Bearer b" in head_of("http://same/", {"authorization": "Bearer b"})
    assert head_of("http://same/", headers, "PUT").startswith(b"PUT / ")
    with pytest.raises(RequestInvalid):
        head_of("http://same/", {"authorization": "Bearer a\r\nx: y"})
    assert head_of("http://same/", headers) == first


def test_a_request_may_say_what_it_accepts() -> None:
    assert head_of(headers={"accept": "a/b"}).count(b"accept: ") == 1


def test_only_a_get_without_a_body_has_no_length() -> None:
    for method, length in (("GET", False), ("POST", True), ("DELETE", True)):
        request = HttpRequest("p", "http://h/", {}, b"", method)
        head = encode_head(parse_target("http://h/"), request)
        assert (b"content-length: 0\r\n" in head) is length


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://h", Origin("http", "h", 80)),
        ("HTTPS://API.Example.com/x#part", Origin("https", "api.example.com", 443)),
        ("http://127.0.0.1:8080?q", Origin("http", "127.0.0.1", 8080)),
        ("https://[2001:DB8::1]/", Origin("https", "2001:db8::1", 443)),
        ("http://[::ffff:10.0.0.1]:81/", Origin("http", "::ffff:10.0.0.1", 81)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: Origin) -> None:
    assert parse_origin(url) == parse_target(url).origin == origin


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h", "/"),
        ("http://h?a=b", "/?a=b"),
        ("http://h/?", "/?"),
        ("http://h/a?b#c?d", "/a?b"),
        ("http://h/a#b?c", "/a"),
        ("http://h//x", "//x"),
    ],
)
def test_path_and_query_stay_as_they_are_written(url: str, target: str) -> None:
    assert head_of(url).split(b" ")[1] == target.encode()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h/path",
        "/path",
        "ftp://h/",
        "http://",
        "http:///path",
        "http://:80/",
        "http://user@h/",
        "http://user:pass@h/",
        "http://a\\@b/",
        "http://h:0/",
        "http://h:65536/",
        "http://h:x/",
        "http://[::1/",
        "http://[fe80::1%25eth0]/",
        "http://[h]/",
        "http://h%2eexample/",
        "http://h/a b",
        "http://h/\r\nx: y",
        "http://h/\0",
        "http://h/ü",
        "http://ü/",
    ],
)
def test_a_url_that_could_be_read_in_two_ways_is_refused(url: str) -> None:
    with pytest.raises(RequestInvalid):
        head_of(url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x", "a\r\nb: c"),
        ("x", "a\nb"),
        ("x", "a\r"),
        ("x", "a\0"),
        ("x", "\ud800"),
        ("x: y", "z"),
        ("x\r\n", "z"),
        ("", "z"),
        ("x y", "z"),
        ("ü", "z"),
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("host", "elsewhere"),
        ("connection", "close"),
    ],
)
def test_no_header_changes_the_head_around_it(name: str, value: str) -> None:
    with pytest.raises(RequestInvalid) as refusal:
        head_of(headers={name: value})
    assert value not in str(refusal.value)
    assert refusal.value.__cause__ is None


@pytest.mark.parametrize("method", ["HEAD", "CONNECT", "post", "POST /\r\n", ""])
def test_other_methods_are_refused(method: str) -> None:
    with pytest.raises(RequestInvalid):
        head_of(method=method)


@given(st.text(), st.text())
def test_a_value_never_adds_a_line(name: str, value: str) -> None:
    try:
        head = head_of(headers={name: value})
    except RequestInvalid:
        return
    assert head.count(b"\n") == head.count(b"\r\n") == len(head_of().splitlines()) + 1
    assert head.count(b"\r") == head.count(b"\n")


def test_a_target_shows_no_credential() -> None:
    assert "sk-" not in repr(parse_target("https://h/v1?key=sk-1"))
