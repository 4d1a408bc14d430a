"""OPA's own cases of Rego v1, where the sources that its server is built from are at hand: none is answered wrongly."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("regorus", reason="`regorus` is not installed")

SOURCES = Path(os.environ.get("GOMODCACHE", Path.home() / "go" / "pkg" / "mod"))
CASES = SOURCES / "github.com/open-policy-agent/opa@v1.20.2/v1/test/cases/testdata/v1"

KNOWN = {
    # An element of a set by a dotted name, beside a rule with variables in its head: a test's way of asking.
    "refheads/general, set leaf, deep query",
}


@pytest.mark.shows("rego.6")
def test_no_official_case_is_answered_wrongly() -> None:
    if not CASES.is_dir():
        pytest.skip("the sources of `opa` are not in Go's module cache")
    command = [sys.executable, "-m", "tests.rego.official", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    counted = Counter(said for said, *_ in told)
    wrong = [(name, found, wanted) for said, name, found, wanted in told if said == "other" and name not in KNOWN]
    asked = sum(counted[each] for each in ("same", "other", "an error, as in OPA", "an error, so a denial"))
    right = counted["same"] + counted["an error, as in OPA"]
    print(f"{right} of {asked} official cases as OPA ({right / asked:.1%}), {dict(counted.most_common())}")
    assert wrong == []
    assert asked > 1000
    assert right / asked > 0.95
