"""Names that fold to one another, and texts that are names or addresses."""

from __future__ import annotations

import pytest

from policylayer.core.text import fold, folds, is_address, is_name


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "create_refund",
        "DATA_EXPORT_v2",
        "admin.tools.list",
        "x" * 128,
        "two words",
        "caf\u00e9",
        "\u540d\u524d",
        "\U0001f600",
    ],
)
def test_names(name: str) -> None:
    assert is_name(name, 128)


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            " ",
            " a",
            "a ",
            "a\t",
            "a\n",
            "\ta",
            "a\x00",
            "safe\x00danger",
            "a\x7f",
            "a\x1b[31m",
            "x" * 129,
            "x" * 10_000,
        ),
        *("a\u200bb", "a\u200db", "\ufeffa", "a\u202eb", "a\U000e0041b", "a\u00adb", "a\u00a0b", "a\u2028b", "a\u3000"),
        *(
            "a\u034fb",
            "\u115f",
            "a\u3164",
            "a\ufe0f",
            "\u2800",
            "a\uffa0",
            "a\u180e",
            "\ue000",
            "\ufffe",
            "\U0010ffff",
            "\ud800",
        ),
    ],
)
def test_pol_06_names_that_do_not_look_like_what_they_are(name: str) -> None:
    assert not is_name(name, 128)


@pytest.mark.parametrize("name", [None, 5, True, ["a"], {"a": 1}, b"a"])
def test_only_text_is_a_name(name: object) -> None:
    assert not is_name(name, 128)
    assert not is_address(name, 128)


@pytest.mark.parametrize(
    "uri", ["file:///a b", "file:///caf\u00e9", "test://x?y#z", "db://\U0001f468\u200d\U0001f469", "x"]
)
def test_addresses(uri: str) -> None:
    assert is_address(uri, 8192)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        " file:///a",
        "file:///a ",
        "file:///a\n",
        "file:///\x00",
        "\u00a0x\u00e9",
        "\u00e9\x85",
        "\u00e9\x00",
        "x" * 8193,
    ],
)
def test_what_is_no_address(uri: str) -> None:
    assert not is_address(uri, 8192)


@pytest.mark.parametrize(
    "name",
    [
        "METHOD",
        "Method",
        "method\x00",
        "method\x00\x00",
        "\u200bmethod",
        "met\ufe0fhod",
        "\uff2d\uff25\uff34\uff28\uff2f\uff24",
        " method\t",
        "me\u200dthod",
        "m\u00adethod",
    ],
)
def test_folding(name: str) -> None:
    assert fold(name) == "method"


def test_folding_letters_that_json_readers_fold() -> None:
    assert fold("re\u017fult") == fold("result")
    assert fold("\u212aey") == fold("key")
    assert fold("\ufb01le") == fold("file")
    assert fold("stra\u00dfe") == fold("strasse")
    assert fold("") == ""
    assert folds(["progressToken"]) == {"progresstoken": "progressToken"}


def test_folding_looks_at_the_beginning_only() -> None:
    assert fold("method\x00anything") == "method"
    assert fold("\x00method") == ""
    assert fold("method" + "\u200b" * 1000 + "x") == "method"
    assert len(fold("\ufdfa" * 1_000_000)) < 10_000


def test_different_names_stay_different() -> None:
    assert len({fold(name) for name in ("method", "methods", "params", "param", "_meta", "meta", "m\u00e9thod")}) == 7
