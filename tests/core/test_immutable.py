"""Values: fields, compared and hashed by them; that nobody changes them is the type checker's to say."""

from __future__ import annotations

from dataclasses import field, replace
from pathlib import Path

import pytest
from mypy import api

from policylayer.core.immutable import immutable


@immutable
class Pair:
    """Two fields."""

    first: int
    second: tuple[str, ...] = ()
    third: frozenset[str] = field(default_factory=frozenset)


def test_equal_and_hashed_by_fields() -> None:
    assert Pair(1, ("a",)) == Pair(1, ("a",)) != Pair(2, ("a",))
    assert len({Pair(1), Pair(1), Pair(2)}) == 2
    assert replace(Pair(1), second=("b",)) == Pair(1, ("b",))


def test_it_has_no_other_fields() -> None:
    with pytest.raises(AttributeError):
        Pair(1).other = 2  # type: ignore[attr-defined]


def test_the_type_checker_refuses_a_change(tmp_path: Path) -> None:
    source = tmp_path / "change.py"
    lines = ["from policylayer.core.immutable import immutable", "@immutable", "class Pair:", "    first: int", ""]
    source.write_text("\n".join([*lines, "Pair(1).first = 2", ""]))
    said, _, code = api.run(["--cache-dir", str(tmp_path / "cache"), "--follow-imports", "silent", str(source)])
    assert code == 1
    assert 'change.py:6: error: Property "first" defined in "Pair" is read-only' in said


@immutable
class Other:
    """As `Pair` begins, with one field that is not compared."""

    first: int
    second: tuple[str, ...] = ()
    note: str = field(default="", compare=False)


@immutable
class Alone:
    """One field, and a method of its own in place of one that would be made."""

    first: tuple[int, ...]

    def __repr__(self) -> str:
        return "mine"


def test_equal_only_to_its_own_kind_and_by_the_compared_fields() -> None:
    assert Pair(1) != Other(1)
    assert Other(1, note="a") == Other(1, note="b")
    assert hash(Other(1, note="a")) == hash(Other(1, note="b"))
    assert Alone((1,)) == Alone((1,)) != (1,)


def test_shown_by_its_fields() -> None:
    assert repr(Pair(1, ("a",))) == "Pair(first=1, second=('a',), third=frozenset())"
    assert repr(Alone((1,))) == "mine"
