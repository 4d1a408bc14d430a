"""Pure: the files of a folder to a policy set, its tests, and everything that is wrong with any of them.

Each file is read by `source` and its `parse_*`; then names are held against principals.yaml, tests against rules, and
`compile` makes the set. All problems of all files are reported at once; one error and there is no set. Must not know
where the files come from: `revisions/` reads folders and repositories.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import field, replace
from typing import Final, TypeVar

from policylayer.core.immutable import immutable
from policylayer.policy import ast
from policylayer.policy.check_at import check_at
from policylayer.policy.check_beaten import check_beaten
from policylayer.policy.check_ends import check_ends
from policylayer.policy.check_limits import check_limits
from policylayer.policy.check_names import check_names
from policylayer.policy.check_targets import check_targets
from policylayer.policy.check_tests import REGO, check_tests
from policylayer.policy.check_types import check_types
from policylayer.policy.codes import Code
from policylayer.policy.compile import compile as compile_policies
from policylayer.policy.diagnostics import Diagnostic, error, ordered, quote, warning
from policylayer.policy.features import NOT_ENFORCED
from policylayer.policy.known import Known
from policylayer.policy.nodes import Node
from policylayer.policy.parse_policy import parse_policy, parse_scope
from policylayer.policy.parse_principals import parse_principals
from policylayer.policy.parse_tests import parse_tests
from policylayer.policy.policy_set import PolicySet
from policylayer.policy.shapes import Reading
from policylayer.policy.source import read

PRINCIPALS: Final = "principals.yaml"
SCOPE: Final = "scope.yaml"

_T = TypeVar("_T")


@immutable
class Loaded:
    """What came of a folder. `policy_set` is None exactly where `diagnostics` hold an error.

    `rego` are the Rego files with the scope.yamls above each; another engine reads them (`policylayer/rego`).
    """

    revision: str
    policy_set: PolicySet | None
    diagnostics: tuple[Diagnostic, ...]
    tests: tuple[ast.TestCase, ...] = ()
    policies: tuple[ast.Policy, ...] = ()
    directory: ast.Directory = field(default_factory=ast.Directory)
    rego: Mapping[str, tuple[ast.AppliesTo, ...]] = field(default_factory=dict)

    @property
    def errors(self) -> tuple[Diagnostic, ...]:
        """The diagnostics that keep the set from being used."""
        return tuple(finding for finding in self.diagnostics if finding.is_error)


def load(files: Mapping[str, bytes], known: Known | None = None, not_enforced: frozenset[str] = NOT_ENFORCED) -> Loaded:
    """Load a folder's files, given by their paths relative to it."""
    return _Folder(files, known or Known(), not_enforced).load()


def revision_of(files: Mapping[str, bytes]) -> str:
    """The digest that names a state of a folder: of paths and contents, in order, each with its length."""
    digest = hashlib.sha256()
    for path in sorted(files):
        if kind_of(path) != "ignored":
            for part in (path.encode("utf-8", "surrogateescape"), files[path]):
                digest.update(len(part).to_bytes(8, "big"))
                digest.update(part)
    return f"sha256:{digest.hexdigest()}"


def kind_of(path: str) -> str:
    """What a file is by its name: policy, tests, principals, scope, rego, ignored, misplaced, misnamed, unknown."""
    *folders, name = path.split("/")
    if any(part.startswith(".") for part in (*folders, name)) or name.endswith(".md"):
        return "ignored"
    if name == PRINCIPALS:
        return "misplaced" if folders else "principals"
    if name == SCOPE:
        return "scope"
    if name.endswith("_test.yaml"):
        return "tests"
    if name.endswith(".yaml"):
        return "policy"
    if name.endswith(".rego"):
        return "rego"
    return "misnamed" if name.lower().endswith((".yaml", ".yml", ".rego")) else "unknown"


class _Folder:
    """One loading."""

    def __init__(self, files: Mapping[str, bytes], known: Known, not_enforced: frozenset[str]) -> None:
        self.files = files
        self.known = known
        self.not_enforced = not_enforced
        self.sink: list[Diagnostic] = []
        self.kinds: dict[str, list[str]] = {}
        self.scopes: dict[str, ast.AppliesTo | None] = {}
        for path in sorted(files):
            self.kinds.setdefault(kind_of(path), []).append(path)

    def load(self) -> Loaded:
        revision = revision_of(self.files)
        self.report_kinds()
        directory = self.directory()
        policies, whole = self.policies()
        tests = tuple(test for path in self.of_kind("tests") for test in self.parse(path, parse_tests) or ())
        check_names(policies, directory, self.known, self.sink)
        check_ends(policies, directory, self.sink)
        check_limits(policies, self.sink)
        check_beaten(policies, self.sink)
        check_targets(policies, self.sink)
        if whole:
            rego = bool(self.of_kind("rego"))
            check_tests(tests, policies, directory, self.sink, rego)
            check_at(tests, policies, directory, self.sink)
            self.check_tools(policies, directory, rego)
        check_types(policies, directory, self.sink)
        policy_set = self.compile(policies, directory, revision)
        found = ordered(self.sink)
        if any(finding.is_error for finding in found):
            policy_set = None
        scopes = {path: self.above(path) for path in self.of_kind("rego")}
        return Loaded(revision, policy_set, found, tests, policies, directory, scopes)

    def check_tools(self, policies: tuple[ast.Policy, ...], directory: ast.Directory, rego: bool) -> None:
        """Hold the rules against what servers list, where that is known."""
        if self.known.tools:
            # Imported where it is needed: most loads know no tools, and `check` starts on every save.
            from policylayer.policy.check_tools import check_tools

            check_tools(policies, directory, self.known, self.sink, rego)

    def compile(self, policies: tuple[ast.Policy, ...], directory: ast.Directory, revision: str) -> PolicySet | None:
        """Compile, and add what the compiler found where nothing has been said yet."""
        policy_set, found = compile_policies(policies, directory, revision)
        said = {(finding.file, finding.line, finding.column) for finding in self.sink if finding.is_error}
        self.sink.extend(
            finding
            for finding in found
            if finding.code != Code.UNKNOWN_LIMIT and (finding.file, finding.line, finding.column) not in said
        )
        return policy_set

    # --- files ---

    def of_kind(self, kind: str) -> list[str]:
        return self.kinds.get(kind, [])

    def report_kinds(self) -> None:
        for path in self.of_kind("misplaced"):
            message = f"{PRINCIPALS} belongs at the root of the folder"
            self.sink.append(error(Code.MISPLACED_FILE, ast.Span(path, 1, 1), message, "move it there"))
        for path in self.of_kind("misnamed"):
            message = f"{quote(path)} would not be read: policy files end in `.yaml`, Rego files in `.rego`"
            self.sink.append(error(Code.UNKNOWN_FILE, ast.Span(path, 1, 1), message, "rename it"))
        for path in self.of_kind("unknown"):
            message = f"{quote(path)} is no kind of file that belongs in a policy folder, and is not read"
            self.sink.append(warning(Code.UNKNOWN_FILE, ast.Span(path, 1, 1), message, "move it elsewhere"))
        if not self.of_kind("policy") and not self.of_kind("rego"):
            message = "there is no policy here: an empty folder never means that everything is allowed"
            help_ = "write a policy file; to allow nothing, one with `rules: []`"
            self.sink.append(error(Code.NO_POLICY, ast.Span(".", 1, 1), message, help_))

    def parse(self, path: str, parse: Callable[[Node, Reading], _T]) -> _T | None:
        node = read(path, self.files[path], self.sink)
        return None if node is None else parse(node, Reading(path, self.sink, self.not_enforced))

    def directory(self) -> ast.Directory:
        for path in self.of_kind("principals"):
            return self.parse(path, parse_principals) or ast.Directory()
        return ast.Directory()

    def policies(self) -> tuple[tuple[ast.Policy, ...], bool]:
        """The policies under their scopes, and whether all of them could be read."""
        self.scopes = {path: self.parse(path, parse_scope) for path in self.of_kind("scope")}
        found: list[ast.Policy] = []
        for path in self.of_kind("policy"):
            policy = self.parse(path, parse_policy)
            if policy is not None:
                found.append(replace(policy, scopes=self.above(path)))
        self.report_same_names(found)
        return tuple(found), len(found) == len(self.of_kind("policy"))

    def above(self, path: str) -> tuple[ast.AppliesTo, ...]:
        """The scopes that a file is under."""
        found = (self.scopes.get(place) for place in _scope_files(path))
        return tuple(scope for scope in found if scope is not None)

    def report_same_names(self, policies: list[ast.Policy]) -> None:
        first: dict[str, ast.Policy] = {}
        for policy in policies:
            if f"{policy.name}/" == REGO:
                message = f"{quote(policy.name)} is what rules of Rego files are named by"
                self.sink.append(error(Code.RESERVED_NAME, policy.span, message, "choose another name"))
            if policy.name in first:
                help_ = f"{first[policy.name].span.file} has that name; `policy/rule` must name one rule"
                message = f"a second policy {quote(policy.name)}"
                self.sink.append(error(Code.DUPLICATE_POLICY, policy.span, message, help_))
            first.setdefault(policy.name, policy)


def _scope_files(path: str) -> list[str]:
    """The scope.yaml files that a file is under, from the root down."""
    folders = path.split("/")[:-1]
    return ["/".join((*folders[:depth], SCOPE)) for depth in range(len(folders) + 1)]
