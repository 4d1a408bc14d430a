"""File paths: what cannot be read is not, and readings must agree."""

from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.policy import paths

SEGMENTS = st.lists(
    st.sampled_from(["..", ".", "", "a", "b c", "srv", "%2e%2e", "%5c", "..\\", "é", "%252f"]), max_size=7
)
PATHS = SEGMENTS.map(lambda segments: "/" + "/".join(segments))


@given(SEGMENTS.map("/".join))
def test_resolving_is_that_of_posix(path: str) -> None:
    assert paths.resolve("/" + path) == posixpath.normpath("/./" + path)


@pytest.mark.shows("policy.5")
@given(PATHS)
def test_within_is_true_only_if_every_reading_is_inside(value: str) -> None:
    answer = paths.agreed(paths.within(("/srv",)), value, None)
    if answer is not None:
        found = paths.readings(value, None)
        assert found is not None
        assert {path == "/srv" or path.startswith("/srv/") for path in found} == {answer}


@pytest.mark.shows("policy.5")
@given(st.text(max_size=12))
def test_any_text_has_an_answer_or_none(value: str) -> None:
    assert paths.agreed(paths.within(("/srv",)), value, "/srv/app") in (True, False, None)


@given(PATHS)
def test_more_directories_never_hold_less(value: str) -> None:
    few = paths.agreed(paths.within(("/srv",)), value, None)
    many = paths.agreed(paths.within(("/srv", "/")), value, None)
    assert many in (True, None)
    assert few is not True or many is True


@pytest.mark.shows("policy.5")
@pytest.mark.parametrize(
    "value",
    [
        "",
        "~",
        "~root/x",
        "C:",
        "c:/x",
        "C:\\x",
        "//h/s",
        "\\\\h\\s",
        "/\\h",
        "\\/h",
        "a:b",
        "file:/x",
        "a\0",
        "%00",
        "%7e",
        "%43:/x",
        "%2f/h",
        "/%2fh",
        "%5c%5ch",
        "%ff",
        "x",
        "./x",
        "../x",
        "/\ud800",
    ],
)
def test_what_is_not_read(value: str) -> None:
    assert paths.readings(value, None) is None


def test_a_plain_path_has_one_reading() -> None:
    assert paths.readings("/a/./b//c/../d/", None) == ("/a/b/d",)
    assert paths.readings("x/../y", "/srv/") == ("/srv/y",)
    assert paths.readings("x", "relative") is None


def test_all_four_readings() -> None:
    found = paths.readings("/a/%2e%2e\\b", None)
    assert found is not None
    assert set(found) == {"/a/%2e%2e\\b", "/a/..\\b", "/a/%2e%2e/b", "/b"}


@pytest.mark.shows("policy.5")
def test_links_are_not_seen() -> None:
    """A link inside the directory that leads out of it cannot be told by its name: the reading is lexical."""
    assert paths.agreed(paths.within(("/srv/data",)), "/srv/data/link/passwd", None) is True
