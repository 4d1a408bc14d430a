"""Patterns of resources that no URI in its normal form matches: a deny with one would do nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy import resources
from policylayer.policy.resource_patterns import never_equals, never_matches
from tests.policy.parsed import codes_of_rule

NEVER = [
    ("https://example.com:443/admin/**", "https://example.com/admin/**"),
    ("http://EXAMPLE.com:80/admin/**", "http://example.com/admin/**"),
    ("https://example.com./admin/**", "https://example.com/admin/**"),
    ("file:///etc/./**", "file:///etc/**"),
    ("file:///srv/../etc/**", "file:///etc/**"),
    ("file:////etc/**", "file:///etc/**"),
    ("file:/etc/**", "file:///etc/**"),
    ("/etc/**", "file:///etc/**"),
    ("file://host/etc/**", "file:///etc/**"),
    ("https://h//x/**", "https://h/x/**"),
    ("https://bücher.de/**", None),
    ("https://127.1/**", None),
    ("https://user@h/**", None),
    ("https://*.example.com./**", None),
    ("https://*:443/x", None),
    ("https://*/./x", None),
    ("https://_*/x", None),
    ("file:///srv/a b*", None),
    ("file:///srv/a#*", None),
    ("file:///srv/a%20b/*", None),
    ("file:///srv/%61", None),
    ("file:///srv/*/../x", None),
    ("git:/x/**", None),
    ("file:*", None),
    ("file*", None),
    ("nothing", None),
    ("urn:a", None),
    ("*", None),
]
SOME = {
    "**": "x://y",
    "**/x": "git://h/x",
    "**.md": "git://h/a.md",
    "*://x/**": "git://x/a",
    "http*://x/**": "https://x/a",
    "file://**": "file:///",
    "file:///": "file:///",
    "file:///**": "file:///a",
    "file:///**/": "file:///a",
    "file:/**": "file:///a",
    "file:///**/.git/**": "file:///.git/a",
    "file:///srv/..*": "file:///srv/...",
    "file://*/x": "file:///x",
    "FILE:///Srv/*": "file:///Srv/x",
    "git://host/": "git://host",
    "str:///*": "str:///hello",
    "note://a/b": "note://a/b",
    "https://example.com/docs/": "https://example.com/docs",
    "https://EXAMPLE.com:443/docs": "https://example.com/docs",
    "https://*": "https://h",
    "https://**": "https://h/a",
    "https://*.example.com/**": "https://a.example.com/b",
    "https://ex*:8443/**": "https://ex:8443/a",
    "https://*:84*/x": "https://h:8443/x",
    "https://127.*.1/x": "https://127.0.0.1/x",
    "https://*.*.*.*/x": "https://1.2.3.4/x",
    "https://h/x*q": "https://h/x?q",
}


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize(("text", "instead"), NEVER)
def test_a_pattern_that_matches_nothing_is_refused_with_what_to_write(text: str, instead: str | None) -> None:
    why = never_matches(text)
    assert why is not None
    assert instead is None or f"`{instead}`" in why
    assert instead is None or never_matches(instead) is None
    assert codes_of_rule(f'resources: ["{text}"], effect: allow') == ["PL170" if " " in text else "PL177"]


@pytest.mark.parametrize(("text", "uri"), SOME.items())
def test_a_pattern_that_matches_something_is_not(text: str, uri: str) -> None:
    assert resources.readings(uri) == (uri,)
    assert resources.pattern(text).matches(uri)
    assert never_matches(text) is None


_PIECES = st.sampled_from(
    ["https", "file", "git", "://", ":", "/", "a.com", ":443", ".", "..", "*", "**", "x", "%41", "#"]
)
_URIS = st.tuples(
    st.sampled_from(["https://a.com", "file://", "git://x", "https://a.com:8443"]),
    st.lists(st.sampled_from(["", "x", ".", "..", "a.com", "%41", "xx"]), max_size=4),
).map(lambda parts: "/".join((parts[0], *parts[1])))


@pytest.mark.shows("policy.5")
@given(st.lists(_PIECES, max_size=7).map("".join), _URIS)
def test_what_is_refused_matches_no_uri_in_all_its_readings(text: str, uri: str) -> None:
    found = resources.readings(uri)
    if found is not None and "***" not in text and never_matches(text) is not None:
        assert not all(map(resources.pattern(text).matches, found))


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize(
    "when",
    [
        'eq: "https://example.com:443/x"',
        'neq: "FILE:///x"',
        'not_in: ["file:///x", "file:///x/"]',
        'glob: "file:///etc/./**"',
        'glob: "file:///etc/"',
        'glob: "HTTPS://h/**"',
        'in: ["x"]',
    ],
)
def test_so_is_a_target_that_no_resource_has(when: str) -> None:
    rule = f"when: {{target: {{{when}, absent: no_match}}}}, effect: allow"
    assert codes_of_rule(f'resources: ["**"], {rule}') == ["PL177"]
    assert codes_of_rule(f"methods: [resources/read], {rule}") == ["PL177"]
    assert codes_of_rule(f'resources: ["**"], except: [{{{rule.removesuffix(", effect: allow")}}}], effect: allow') == [
        "PL177"
    ]
    assert codes_of_rule(f'resources: ["**"], tools: [t], {rule}') == []
    assert codes_of_rule(f"methods: [resources/read, ping], {rule}") == []


@pytest.mark.parametrize("text", ["file:///x", "https://h:8443/x?q=/./"])
def test_a_target_in_its_normal_form_is_one(text: str) -> None:
    assert never_equals(text) is None
    assert codes_of_rule(f'resources: ["**"], when: {{target: {{eq: "{text}"}}}}, effect: allow') == []
    assert codes_of_rule('resources: ["**"], when: {target: {eq: "FILE:///X", ignore_case: true}}, effect: allow') == []
