"""Which policy folders a command is about, and reading one. Must not know what is done with them.

Imports neither SQLAlchemy nor the protocol's libraries: `check` and `test` start at once.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from policylayer.config import Config
from policylayer.config import load as load_config
from policylayer.config.facts import facts_of, known_of
from policylayer.core.call import ServerFacts
from policylayer.core.errors import PolicyError
from policylayer.core.immutable import immutable
from policylayer.policy.diagnostics import Diagnostic, ordered, render
from policylayer.policy.known import Known
from policylayer.policy.load import Loaded, load
from policylayer.policy.testing import TestResult
from policylayer.policy.testing import run as run_tests
from policylayer.revisions.sources import read

CONFIG: Final = Path("policylayer.yaml")
FOLDER: Final = Path("policies")


class NotLoaded(PolicyError):
    """Policies that cannot be used here; `rendered` says why, for people."""

    def __init__(self, found: Checked, source: str) -> None:
        super().__init__("the policies do not load", "`policylayer check` says why")
        self.rendered = render([each for each in found.diagnostics if each.is_error], found.files)
        self.rendered += f"policylayer: the policies in `{source}` do not load\n"


@immutable
class Place:
    """One source, and what the configuration says of the servers, where there is one."""

    source: str
    known: Known
    facts: Mapping[str, ServerFacts]
    config: Config | None = None


@immutable
class Checked:
    """What one source holds. `diagnostics` include what could not be read."""

    loaded: Loaded
    diagnostics: tuple[Diagnostic, ...]
    files: Mapping[str, bytes]


def folder_options(parser: ArgumentParser) -> None:
    """The options of commands that read policy folders."""
    parser.add_argument("folders", metavar="DIR", nargs="*", help="folders, or git:REPO@REF; default: the configured")
    parser.add_argument(
        "-c", "--config", metavar="FILE", type=Path, help="the proxy's configuration; default: policylayer.yaml here"
    )


def place_of(policies: str | None, config: Path | None) -> Place:
    """The source that `--policies` names, or the configured one."""
    if policies is None:
        config = config_of(config)
    if config is None:
        return Place(policies or str(FOLDER), Known(), {})
    loaded = load_config(config)
    facts = facts_of(loaded)
    return Place(policies or _shown(loaded.policies), known_of(loaded), facts, loaded)


def folders_of(given: list[str] | None, config: Path | None) -> tuple[list[str], Known]:
    """The sources that are meant, and what else is known: with `-c`, or in a proxy's folder, its servers."""
    if not given:
        config = config_of(config)
    if config is None:
        return list(given or [str(FOLDER)]), Known()
    loaded = load_config(config)
    known = known_of(loaded)
    return list(given or [_shown(loaded.policies)]), known


def config_of(given: Path | None) -> Path | None:
    """The configuration that is named, or the one here."""
    return CONFIG if given is None and CONFIG.exists() else given


def _shown(source: str) -> str:
    """A folder below here by its relative path."""
    try:
        return str(Path(source).relative_to(Path.cwd()))
    except ValueError:
        return source


def checked(source: str, known: Known) -> Checked:
    """Read and load one source. `PolicyError` where there is nothing to read."""
    snapshot = read(source)
    loaded = load(snapshot.files, known)
    diagnostics = ordered((*loaded.diagnostics, *snapshot.diagnostics, *_of_rego(loaded, snapshot.files)))
    if any(each.is_error for each in diagnostics):
        loaded = replace(loaded, policy_set=None)
    return Checked(loaded, diagnostics, snapshot.files)


def loaded_from(source: str, known: Known) -> Checked:
    """The same, where only a set that loads is of use; `NotLoaded` says all that is wrong."""
    found = checked(source, known)
    if found.loaded.policy_set is None:
        raise NotLoaded(found, source)
    return found


def tested(found: Checked, only: str) -> tuple[TestResult, ...]:
    """The tests of a checked source whose name holds `only`, run as activation runs them."""
    if not found.loaded.rego and found.loaded.policy_set is not None:
        chosen = [each for each in found.loaded.tests if only.lower() in each.name.lower()]
        return tuple(run_tests(found.loaded.policy_set, chosen))
    from policylayer.rego.examine import examined

    return examined(found.loaded, found.files, only).results


def _of_rego(loaded: Loaded, files: Mapping[str, bytes]) -> tuple[Diagnostic, ...]:
    """What is wrong with Rego files; where there are none, nothing of an engine is imported."""
    if not loaded.rego or loaded.policy_set is None:
        return ()
    from policylayer.rego.examine import examined

    return examined(loaded, files, tests=False).problems
