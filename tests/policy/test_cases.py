"""The decision cases, as data: `tests/cases/decide`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.policy.cases import cases, check_condition, check_decision


@pytest.mark.shows("proxy.9", "policy.1")
@pytest.mark.parametrize("case", cases("conditions"))
def test_condition(case: Mapping[str, Any]) -> None:
    check_condition(case)


@pytest.mark.shows("proxy.9", "policy.1")
@pytest.mark.parametrize("case", cases("decisions"))
def test_decision(case: Mapping[str, Any]) -> None:
    check_decision(case)
