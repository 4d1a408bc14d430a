"""`check` and `test`: what they find, how they say it, and their exit codes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.cli.runner import Runner

pytestmark = pytest.mark.shows("proxy.9")


def test_a_good_folder(run: Runner) -> None:
    assert run("check").out == "policies: ok (1 policy, 2 rules, 1 test)\n"
    assert run("check", "policies", "--json").out == ""
    assert run("test").out == "policies: 1 passed, 0 failed\n"
    assert "reading passes" in run("test", "-v").out
    assert run("test", "-k", "nothing").out == "policies: 0 passed, 0 failed\n"


def test_errors_are_placed_and_exit_with_3(run: Runner, home: Path) -> None:
    path = home / "policies" / "shop.yaml"
    path.write_text(path.read_text().replace("effect: allow", "efect: allow"))
    for command in ("check", "test"):
        done = run(command, "policies")
        assert done.code == 3
        assert "shop.yaml:4:34: error[PL103]" in done.err
        assert "did you mean `effect`?" in done.err
    done = run("check", "policies", "--json")
    (line, *_) = done.lines
    assert set(line) == {"file", "line", "column", "severity", "code", "message", "help"}
    assert (line["file"], line["line"], line["column"], line["code"]) == ("policies/shop.yaml", 4, 34, "PL103")


def test_failing_tests_exit_with_4(run: Runner, home: Path) -> None:
    path = home / "policies" / "shop_test.yaml"
    path.write_text(path.read_text().replace("effect: allow", "effect: deny"))
    done = run("test")
    assert done.code == 4
    assert "shop_test.yaml:5: failed: reading passes" in done.out
    assert run("check").code == 0
    (line,) = run("test", "--json").lines
    assert (line["passed"], line["name"]) == (False, "reading passes")


def test_a_server_that_is_not_configured_is_a_warning_beside_the_configuration(run: Runner, home: Path) -> None:
    config = home / "policylayer.yaml"
    config.write_text(config.read_text().replace("shop:", "other:"))
    assert run("check").out == "policies: ok (1 policy, 2 rules, 1 test, 1 warning)\n"
    assert run("check", "policies").out == "policies: ok (1 policy, 2 rules, 1 test)\n"


def test_nothing_to_read(run: Runner, home: Path) -> None:
    assert run("check", "nowhere").code == 3
    (home / "empty").mkdir()
    assert "PL132" in run("check", "empty").err


def test_a_broken_configuration_is_told_whole(run: Runner, home: Path) -> None:
    (home / "policylayer.yaml").write_text("lisen: 1\nservers: {a: {}}\n")
    done = run("check")
    assert done.code == 3
    assert done.err.count("error[") == 2


def test_a_git_source(run: Runner, home: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-c", "user.name=t", "-c", "user.email=t@example.com", *arguments],
            cwd=home / "policies",
            check=True,
            capture_output=True,
        )

    git("init", "-q", "-b", "main")
    git("add", ".")
    git("commit", "-qm", "first")
    (home / "policies" / "shop.yaml").write_text("broken")
    assert run("check", "git:policies@main").code == 0
    assert run("check", "policies").code == 3
