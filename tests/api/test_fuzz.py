"""Random requests to every route: never a 5xx, always the shape that is described, for whatever is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policylayer.api.openapi import problems_of
from policylayer.api.route import Route
from policylayer.api.schemas import SCHEMAS, standalone
from policylayer.api.table import ROUTES
from tests.api.rig import Rig, api

pytestmark = pytest.mark.shows("proxy.5")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from(["user:a", "agent:b", "group:c", "shop", "nowhere", "2027-01-01T00:00:00Z", "", "\x00", "💥"])
VALUES = NAMES | st.sampled_from(["viewer", "admin", "all", "principal", "server", "pending", "1", "-1", "0", "5000"])
SIMILAR = st.fixed_dictionaries(
    {"for": st.sampled_from(["1h", "25h", "0s", "999999d", ""]) | st.text(max_size=5)},
    optional={"uses": st.integers(-1, 1002) | st.just(1.0), "same": st.lists(VALUES | st.text(max_size=5), max_size=3)},
)
"""A wish of an approver's, as it may be said or nearly."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Rig]]:
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        folder: Path = tmp_path_factory.mktemp("api")
        rig = runner.run(stack.enter_async_context(api(folder)))
        yield runner, rig
        runner.run(stack.aclose())


@st.composite
def requests(draw: st.DrawFn) -> tuple[Route, str, str, Any]:
    """A route, a path of it, a query, and a body that fits more or less."""
    route = draw(st.sampled_from(ROUTES))
    path = route.path.replace("{id}", draw(st.from_regex(r"[A-Za-z0-9_-]{1,40}", fullmatch=True)))
    declared = [parameter.name for parameter in route.query]
    keys = st.sampled_from([*declared, "unknown"])
    query = urlencode(draw(st.lists(st.tuples(keys, VALUES | st.text(max_size=20)), max_size=3)))
    if route.body is None:
        return route, path, query, None
    properties = list(SCHEMAS[route.body]["properties"])
    values = VALUES | st.lists(VALUES, max_size=2) | SIMILAR | JSON
    near = st.fixed_dictionaries({}, optional=dict.fromkeys(properties, values))
    return route, path, query, draw(near | JSON)


@settings(max_examples=150)
@given(request=requests(), role=st.sampled_from(["viewer", "approver", "operator", "admin"]))
def test_no_request_breaks_the_api(
    running: tuple[asyncio.Runner, Rig], request: tuple[Route, str, str, Any], role: str
) -> None:
    runner, rig = running
    route, path, query, body = request
    answer = runner.run(rig.ask(route.method, path, role, query=query, body=body))
    assert answer.status < 500, (route.name, answer.body)
    if answer.status == route.status:
        jsonschema_rs.validate(standalone(route.answer), answer.json)
    else:
        jsonschema_rs.validate(standalone("Problem"), answer.json)
        assert answer.json["code"] in problems_of(route), (route.name, answer.json)
