"""URLs that two programs could take apart differently are not read."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy import urls

PARTS = ["http", "https", "://", ":", "//", "/", "\\", "@", "good.com", "evil.net", "127.1", "0x7f", "1", ".", "[::1]"]
PARTS += ["%2e", "%", "?", "#", "80", " ", "\t", "é", "..", "_", "-", "xn--a", "*", "[", "]"]


@pytest.mark.shows("policy.5")
@given(st.lists(st.sampled_from(PARTS), max_size=9).map("".join))
def test_what_is_read_is_read_alike_elsewhere(text: str) -> None:
    url = urls.parse(text)
    if url is None:
        return
    other = urlsplit(text)
    host = (other.hostname or "").removesuffix(".")
    assert (url.scheme, url.host) == (other.scheme, host.lower()) or ":" in host
    assert (other.username, other.password) == (None, None)
    assert url.port == (other.port if other.port is not None else urls.PORTS[url.scheme])
    assert url.path == (other.path or "/")


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("EXAMPLE.com.", "example.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("[0:0::1]", "::1"),
        ("[::ffff:1.2.3.4]", "1.2.3.4"),
        ("a-b.c1", "a-b.c1"),
        ("1a.2b", "1a.2b"),
    ],
)
def test_hosts(text: str, host: str) -> None:
    assert urls.read_host(text) == host


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "a..b",
        "-a",
        "a-",
        "a_b",
        "é",
        "a b",
        "127.1",
        "1",
        "0x1",
        "0x",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "[::1",
        "::1]",
        "[]",
        "[a]",
        "[1.2.3.4]",
        "[::1%25x]",
        "[fe80::1%eth0]",
        "a" * 64,
        "a." * 127 + "a",
        "a%2eb",
    ],
)
def test_what_is_no_host(text: str) -> None:
    assert urls.read_host(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "example.com",
        "ftp://a.com",
        "https://*a.com/",
        "https://a.*/",
        "https://a.com:*/",
        "https://a.com/[x]",
        "https://a.com/{x}",
        "https://a.com/a\\b",
        "https://a.com/x#y",
        "https://a.com/../x",
        "https://u@a.com/",
        "https://*.127.0.0.1/",
        "https://a.com/***",
        "https://a.com/%2a",
        "https://a.com/x?y?z",
        "https://a.com/%3f",
        "*",
        "",
    ],
)
def test_what_is_no_glob(text: str) -> None:
    assert urls.url_pattern(text) is None


@pytest.mark.parametrize(
    "text", ["", "*.", "a*", "*a", "**", "*.*.a", "a b", "http://a", "a:80", "*.::1", "*.1.2.3.4", "é"]
)
def test_what_is_no_host_pattern(text: str) -> None:
    assert urls.host_pattern(text) is None


@pytest.mark.shows("policy.5")
@given(st.lists(st.sampled_from(["a", "..", ".", "", "%2e%2e", "%2f", "\\..", "b"]), max_size=6))
def test_a_url_inside_stays_inside_however_it_is_resolved(segments: list[str]) -> None:
    pattern = urls.url_pattern("https://h.com/pub/**")
    url = urls.parse("https://h.com/pub/" + "/".join(segments))
    assert pattern is not None
    assert url is not None
    if urls.agreed((pattern,), url) is True:
        readings = urls.path_readings(url.path)
        assert readings is not None
        assert all(path.startswith("/pub/") for reading in readings for path in reading)


def test_path_readings() -> None:
    assert urls.path_readings("/a/b") == (("/a/b",), ("/a/b",))
    assert urls.path_readings("/a/%62") == (("/a/%62",), ("/a/b",))
    assert urls.path_readings("/a/../b/.") == (("/a/../b/.", "/b/"), ("/a/../b/.", "/b/"))
    assert urls.path_readings("/a//../b") == (("/a//../b", "/a/b"), ("/a//../b", "/a/b", "/b"))
    assert urls.path_readings("/%ff") is None
