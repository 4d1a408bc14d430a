"""Networks of a test's own: namespaces, each with a link to callers and one to what is behind, which can be cut.

A cut link loses packets without a word, as a broken cable or a firewall does; nobody is told. Takes root and `ip`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.support.require import found

FRONT, BACK = 18, 19
"""198.18.0.0/15 is for tests of networks; nothing real is there."""


@dataclass(frozen=True, slots=True)
class Place:
    """A namespace. What listens in it is at `here`; what is behind it, at `behind`, as it sees that."""

    name: str
    number: int

    @property
    def here(self) -> str:
        """Its address, as callers know it."""
        return f"198.{FRONT}.{self.number}.2"

    @property
    def caller(self) -> str:
        """Where callers come from, as it sees them."""
        return f"198.{FRONT}.{self.number}.1"

    @property
    def behind(self) -> str:
        """Our address on the link that can be cut."""
        return f"198.{BACK}.{self.number}.1"

    def inside(self) -> list[str]:
        """What a command begins with that is to run in it."""
        return ["ip", "netns", "exec", self.name]

    def cut(self) -> None:
        """Lose all packets between it and what is behind."""
        ip("link", "set", f"{self.name}b", "down")

    def mend(self) -> None:
        """Lose no more."""
        ip("link", "set", f"{self.name}b", "up")


def ip(*words: str) -> None:
    """Run `ip`."""
    said(*words)


def said(*words: str) -> str:
    """What `ip` says."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


@contextmanager
def places(count: int) -> Iterator[list[Place]]:
    """So many namespaces; skips where there can be none."""
    if found("ip") is None:
        pytest.skip("`ip` is not installed")
    made: list[Place] = []
    try:
        try:
            numbers = iter(range(1, 255))
            while len(made) < count:
                _claim(next(numbers), made)
        except OSError as error:
            pytest.skip(f"no network namespaces can be made here (it takes root): {error}")
        yield made
    finally:
        for place in made:
            for words in (("netns", "del", place.name), *(("link", "del", f"{place.name}{end}") for end in "fb")):
                subprocess.run(["ip", *words], capture_output=True, check=False)


def _claim(number: int, made: list[Place]) -> None:
    """Make this one and add it, unless another run on this machine has it, or one that was killed left it behind."""
    place = Place(f"pl{number}", number)
    if any(said("-4", "-o", "addr", "show", "to", f"198.{network}.{number}.0/30") for network in (FRONT, BACK)):
        return
    try:
        ip("netns", "add", place.name)
    except OSError as error:
        if "File exists" in str(error):
            return
        raise
    made.append(place)
    ip("-n", place.name, "link", "set", "lo", "up")
    for end, network in (("f", FRONT), ("b", BACK)):
        ours, theirs = f"{place.name}{end}", f"{end}0"
        ip("link", "add", ours, "type", "veth", "peer", "name", theirs, "netns", place.name)
        ip("addr", "add", f"198.{network}.{place.number}.1/30", "dev", ours)
        ip("link", "set", ours, "up")
        ip("-n", place.name, "addr", "add", f"198.{network}.{place.number}.2/30", "dev", theirs)
        ip("-n", place.name, "link", "set", theirs, "up")
