"""Who votes in these tests, and a vote that is refused."""

from __future__ import annotations

from typing import Any

import pytest

from policylayer.core.errors import ApprovalError
from policylayer.identity.person import Role
from tests.approvals.desk import person

LEA, OLGA, ROOT = person("user:lea"), person("user:olga"), person("user:root", Role.OPERATOR)
HOUR = 3600


async def refused(vote: Any) -> ApprovalError:
    with pytest.raises(ApprovalError) as caught:
        await vote
    return caught.value
