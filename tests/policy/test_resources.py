"""Resource URIs in their normal form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy import resources


@pytest.mark.parametrize(
    ("uri", "normal"),
    [
        ("file:///a/./b/../c", "file:///a/c"),
        ("FILE:///", "file:///"),
        ("Git://Repo/Path/", "git://repo/Path"),
        ("memo://insights", "memo://insights"),
        ("memo://insights/", "memo://insights"),
        ("db://h:5432/t?limit=1", "db://h:5432/t?limit=1"),
        ("https://A.com:443/x", "https://a.com/x"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
        ("x://[0::1]/y", "x://[::1]/y"),
        ("str:///hello", "str:///hello"),
    ],
)
def test_normal_forms(uri: str, normal: str) -> None:
    assert resources.readings(uri) == (normal,)
    assert resources.readings(normal) == (normal,)
    assert resources.pattern(uri).matches(normal)


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize(
    "uri",
    [
        "",
        "a",
        "/a",
        "urn:a:b",
        "mailto:a@b.c",
        "file:/a",
        "file://h/a",
        "file://",
        "file:////a",
        "file:///a?b",
        "a://b#c",
        "a://u@h/b",
        "a://h/%zz",
        "a://h%2e/b",
        "a://h\\b",
        "a://h/b c",
        "a://h/%00",
        "a://h//b",
        "1a://h/b",
        "a://[::1/b",
        "https://127.1/x",
        "https://a_b/x",
        "a://h:0/b",
        "a://h/{b}",
        "a://{h}/b",
        "a://[1.2]/b",
    ],
)
def test_what_has_none(uri: str) -> None:
    assert resources.readings(uri) is None


@given(st.lists(st.sampled_from(["a", "..", "%2e", "%2f", "\\", "b/c"]), max_size=5).map("/".join))
def test_what_may_be_read_twice_has_several(path: str) -> None:
    found = resources.readings(f"file:///{path}")
    assert found is None or all(uri.startswith("file:///") for uri in found)
