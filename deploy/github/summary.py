"""What the GitHub Action runs: check, test, what changes in access, what recorded calls would have come to.

Started by `action.yml`, which hands its inputs in by the environment. Everything is asked of the command line, as
anyone can ask it; this only gathers what it says: marks in the files that a pull request shows, a summary in Markdown,
and an exit code. All of it runs, whatever fails. Nothing that a file of the pull request says is taken for a command of
the runner. Standard library only.
"""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

COMMAND = (sys.executable, "-m", "policylayer")
MOST = 200_000
"""Characters of one section: GitHub takes 1 MiB in all."""

OK, FAILED = 0, 1


@dataclass
class Summary:
    """What is said of the change, section by section, and which of them failed."""

    sections: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def add(self, title: str, text: str, failed: str = "") -> None:
        """A section of Markdown."""
        shown = text if len(text) <= MOST else f"{text[:MOST]}\n… (cut: the log of the run has all of it)"
        self.sections.append(f"### {title}\n\n{shown.rstrip()}\n" if title else f"{shown.rstrip()}\n")
        if failed:
            self.failed.append(failed)

    def write(self) -> None:
        """To where the runner shows it; to standard output where there is no runner."""
        text = "\n".join(self.sections)
        _append("GITHUB_STEP_SUMMARY", text)
        _append("GITHUB_OUTPUT", f"failed={' '.join(self.failed)}\n")
        _say(text)


def main() -> int:
    """Everything, in the order in which it matters."""
    summary = Summary()
    policies = _given("POLICIES") or "policies"
    if _check(summary, policies):
        _test(summary, policies)
        base = _base(policies)
        _access(summary, policies, base)
        _replay(summary, policies, base)
    summary.write()
    return FAILED if summary.failed else OK


# --- check and test ---------------------------------------------------------------------------------------------------


def _check(summary: Summary, policies: str) -> bool:
    """Whether the files load, with a mark at everything that is said of them."""
    options = (policies, *_option("-c", "CONFIG"), *_option("--tools", "TOOLS"))
    done = _run("check", *options)
    if done.stderr:
        _marks("check", *options)
        title = "Policies" if done.returncode == OK else "Policies do not load"
        summary.add(title, _fenced(done.stderr), "" if done.returncode == OK else "check")
    return done.returncode == OK


def _test(summary: Summary, policies: str) -> None:
    options = (policies, *_option("-c", "CONFIG"))
    done = _run("test", *options)
    if done.returncode != OK:
        _marks("test", *options)
    summary.add("Tests", _fenced(done.stdout or done.stderr), "test" if done.returncode != OK else "")


# --- what changes -----------------------------------------------------------------------------------------------------


def _base(policies: str) -> str | None:
    """The policies as they are at the base, where they can be had and loaded; fetched if need be."""
    commit = _given("BASE")
    if not commit or not re.fullmatch(r"[\w./~^-]+", commit) or commit.startswith("-"):
        return None
    if _git("cat-file", "-e", f"{commit}^{{commit}}") is None:
        _git("fetch", "--quiet", "--no-tags", "--depth=1", "origin", commit)
    top = _git("rev-parse", "--show-toplevel")
    if top is None:
        return None
    below = os.path.relpath(Path(policies).resolve(), top)
    source = f"git:{top}@{commit}" + ("" if below == "." else f":{Path(below).as_posix()}")
    return source if _run("check", source, "--json").returncode == OK else None


def _access(summary: Summary, policies: str, base: str | None) -> None:
    wishes = _wishes("ACCESS_FAIL_ON")
    if base is None:
        why = "There are no policies to compare access with: no base commit, or none there that load."
        if _given("BASE"):
            summary.add("Access", why, "access" if wishes else "")
        return
    tools = _option("--tools", "TOOLS")
    done = _run("access", "--policies", policies, *tools, "--diff", base, *wishes)
    said = done.stdout if done.returncode in (OK, FAILED) and done.stdout else done.stderr
    summary.add("Access", _fenced(said), "access" if done.returncode != OK else "")


def _replay(summary: Summary, policies: str, base: str | None) -> None:
    log = _option("--log", "LOG")
    if not log and not _given("POLICYLAYER_URL"):
        return
    url = () if log else ("--url", _given("POLICYLAYER_URL"))
    options = (*log, *url, *_option("-c", "CONFIG"), *_option("--since", "SINCE"), *_wishes("REPLAY_FAIL_ON"))
    compared = () if base is None else ("--base", base)
    done = _run("replay", "--policies", policies, *options, *compared, "--output", "markdown")
    if done.returncode in (OK, FAILED) and done.stdout:
        summary.add("", done.stdout, "replay" if done.returncode else "")
    else:
        summary.add("Recorded decisions", _fenced(done.stderr), "replay")


# --- the command line, git, and the runner ----------------------------------------------------------------------------


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
    _say(f"policylayer {' '.join(arguments)}\n{done.stderr}".rstrip())
    return done


def _git(*arguments: str) -> str | None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _given(name: str) -> str:
    return os.environ.get(name, "").strip()


def _option(option: str, name: str) -> tuple[str, ...]:
    """An option with what an input says; left out where it says nothing."""
    return (option, _given(name)) if _given(name) else ()


def _wishes(name: str) -> list[str]:
    return [word for wish in _given(name).split() for word in ("--fail-on", wish)]


def _say(text: str) -> None:
    """Into the log of the run, where the runner must not take a line of it for a command."""
    word = secrets.token_hex(16)
    print(f"::stop-commands::{word}\n{text}\n::{word}::", flush=True)


def _marks(*arguments: str) -> None:
    """The same in the runner's words: each finding is shown at its line of the pull request."""
    done = subprocess.run([*COMMAND, *arguments, "--output", "github"], capture_output=True, text=True, check=False)
    print("\n".join(line for line in done.stdout.splitlines() if line.startswith("::")), flush=True)


def _fenced(text: str) -> str:
    """A block that shows a text as it is, whatever backticks it holds."""
    fence = "`" * max(3, max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence}text\n{text.rstrip()}\n{fence}"


def _append(name: str, text: str) -> None:
    path = os.environ.get(name)
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(text)


if __name__ == "__main__":
    sys.exit(main())
