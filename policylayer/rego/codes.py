"""The codes of diagnostics about Rego files, and what each means. Those of YAML files are in `policy/codes.py`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from policylayer.policy.codes_about import About


class RegoCode(StrEnum):
    """PL30x; the engine's own words stand in the message."""

    SYNTAX = "PL301"
    PACKAGE = "PL302"
    IMPORT = "PL303"
    DATA = "PL304"
    BUILTIN = "PL305"
    OUTSIDE = "PL306"
    ENGINE = "PL307"
    NEGATION = "PL308"
    TEST_FAILED = "PL309"


ABOUT: Final[dict[RegoCode, About]] = {
    RegoCode.SYNTAX: About(
        "not Rego v1",
        "The file could not be parsed. Only the v1 syntax is read: `if` before bodies, `contains` for sets.",
        "allow = true { input.x }",
        "allow if input.x",
    ),
    RegoCode.PACKAGE: About(
        "another package",
        "Decisions are the rule `decision` of package `policylayer`; libraries stand in packages below it.",
        "package authz",
        "package policylayer",
    ),
    RegoCode.IMPORT: About(
        "an import of nothing",
        "Only other policy files, the input and `rego.v1` can be imported: no data is loaded beside policies.",
        "import data.users",
        "import data.policylayer.lib",
    ),
    RegoCode.DATA: About(
        "data that is not there",
        "The embedded engine holds no data but the policies themselves. Groups and attributes are in principals.yaml.",
        "data.admins[_] == input.principal.id",
        '"group:admins" in input.principal.groups',
    ),
    RegoCode.BUILTIN: About(
        "a builtin that is not admitted",
        "The engine lacks it, or answers otherwise than OPA does.",
        "crypto.x509.parse_certificates(input.args.cert)",
        "decide by what the call says in plain values",
    ),
    RegoCode.OUTSIDE: About(
        "a builtin that reaches outside",
        "A decision depends on its input alone: no network, no environment, no clock, no chance.",
        "http.send({...})",
        "put what the rule needs into principals.yaml; for the time use input.time",
    ),
    RegoCode.ENGINE: About(
        "no engine for Rego",
        "The embedded engine is not installed, or died while it read the files.",
        "a folder with *.rego and no engine",
        "pip install 'policylayer[rego]'",
    ),
    RegoCode.NEGATION: About(
        "a `not` that means two things",
        "Where the reference is missing, the embedded engine and OPA answer differently.",
        "not startswith(input.args.path, `/srv`)",
        "path := input.args.path; not startswith(path, `/srv`)",
    ),
    RegoCode.TEST_FAILED: About(
        "a Rego test fails",
        "A rule `test_…` of a `*_test.rego` file is not true. A revision whose tests fail is not activated.",
        "test_small if count(decision) == 2 with input as {}",
        "mend the rule, or the test",
    ),
}
