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
