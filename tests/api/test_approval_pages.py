"""Approvals through the API, in pages."""

from __future__ import annotations

import pytest

from policylayer.core.decision import Effect
from tests.api.rig import Rig
from tests.api.written import row

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("cursor", ["zzz", "1", "1.", ".apr_x", "x.apr_x", "1.apr x", "1234567890123456789.apr_x"])
async def test_a_cursor_that_no_page_gave_is_not_the_first_page(rig: Rig, cursor: str) -> None:
    for path in ("/approvals", "/waivers"):
        bad = await rig.ask("GET", path, "viewer", query={"cursor": cursor})
        assert (bad.status, bad.json["code"]) == (400, "bad_cursor")


async def test_approvals_have_pages(rig: Rig) -> None:
    made = [(await row(rig, Effect.REQUIRE_APPROVAL, principal=f"agent:{n}")).approval_id for n in range(3)]
    found, query = [], {"limit": "1"}
    while True:
        page = (await rig.ask("GET", "/approvals", "viewer", query=query)).json
        found += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        query["cursor"] = page["next"]
    assert found == made[::-1]
