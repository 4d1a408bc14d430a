"""Moving a revision's texts to a place of their own: all that means the policies moves, nothing else does."""

from __future__ import annotations

import pytest

from policylayer.rego.placing import PLACES, Unplaceable, placed, pushed_at


def moved(text: str) -> str:
    """What becomes of a file's own text, its place written as HERE."""
    made = placed({"a.rego": text}, "sha256:one", 5)
    whole = made.modules[f"{PLACES}{made.place}/files/a.rego"]
    own = whole.removesuffix("\npolicylayer_part_0 := true\n")
    assert own != whole
    return own.replace(f"policylayer.revisions.{made.place}.files", "HERE")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("package policylayer\nx := 1", "package HERE\nx := 1"),
        ("# package a, data.b\npackage policylayer.lib", "# package a, data.b\npackage HERE.lib"),
        ('package policylayer["a-b"].c', 'package HERE["a-b"].c'),
        ("package policylayer\nimport data.policylayer.lib", "package HERE\nimport data.HERE.lib"),
        ("package policylayer\nimport data.policylayer", "package HERE\nimport data.HERE as policylayer"),
        ("package policylayer\nimport data.policylayer as p", "package HERE\nimport data.HERE as p"),
        ('package policylayer\nx := data["policylayer"].y', "package HERE\nx := data.HERE.y"),
        ("package policylayer\nx := input.data.policylayer.y", "package HERE\nx := input.data.policylayer.y"),
        ('package policylayer\nx := "data.policylayer \\" data"', 'package HERE\nx := "data.policylayer \\" data"'),
        ("package policylayer\nx := `data.policylayer\n\\`", "package HERE\nx := `data.policylayer\n\\`"),
        ("package policylayer\nmydata := metadata", "package HERE\nmydata := metadata"),
        ("package policylayer # data\nx := 1 # `", "package HERE # data\nx := 1 # `"),
    ],
)
def test_what_moves(text: str, wanted: str) -> None:
    assert moved(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "package other",
        "package policylayers",
        "x := 1",
        "package policylayer\npackage policylayer",
        "package policylayer\nx := data",
        "package policylayer\nx := data[input.y]",
        "package policylayer\nx := data.users",
        "package policylayer\nx := data.policylayers",
        'package policylayer\nx := data["policylayer2"]',
        "package policylayer\nx := data . policylayer",
        "package policylayer\npolicylayer_part_0 := true",
        'package policylayer\nx := $"{data.policylayer.y}"',
    ],
)
def test_what_could_reach_out_of_its_place_is_refused(text: str) -> None:
    with pytest.raises(Unplaceable, match=r"^a\.rego:\d+: "):
        moved(text)


def test_one_revision_has_one_place_and_another_another() -> None:
    files = {"a.rego": "package policylayer\n", "b.rego": "package policylayer.lib\n"}
    one, again = placed(files, "sha256:one", 1), placed(files, "sha256:one", 2)
    assert one.place == again.place
    others = [placed(files, "sha256:two", 1), placed({**files, "a.rego": "package policylayer\n#"}, "sha256:one", 1)]
    assert len({one.place, *(each.place for each in others)}) == 3
    first, *_ = again.modules.values()
    assert pushed_at(first) == 2
    assert pushed_at("package x") == 0
