"""The composition root: what the configuration says reaches the part that it is said to."""

from __future__ import annotations

import json
from asyncio import StreamWriter
from pathlib import Path
from typing import Any

import pytest

from policylayer.app import limits_of
from policylayer.config import load
from policylayer.proxy.limits import DEFAULT, Limits
from tests.proxy.rig import call
from tests.proxy.slice import world
from tests.support.misbehaviour import BEHAVIOURS, SSE_HEAD, chunk, event, http, message, result_of
from tests.support.recording import Received

MIB = 1024 * 1024
LARGE = "x" * 20_000_000


def limits(folder: Path, *most: str) -> Limits:
    """The data path's limits with servers of which each has a `max_answer`."""
    servers = {f"s{number}": {"url": "http://s", "limits": {"max_answer": each}} for number, each in enumerate(most)}
    (folder / "policies").mkdir()
    file = folder / "policylayer.yaml"
    file.write_text(json.dumps({"servers": {"plain": {"url": "http://s"}, **servers}}))
    return limits_of(load(file))


@pytest.mark.parametrize(
    ("most", "answer"), [((), 16), (("1MiB",), 16), (("64MiB", "20MiB"), 64), (("1024MiB",), 1024)]
)
def test_the_largest_configured_answer_passes_everywhere(tmp_path: Path, most: tuple[str, ...], answer: int) -> None:
    found = limits(tmp_path, *most)
    assert (found.answer, found.event) == (answer * MIB, answer * MIB)
    assert found.server_message.size == max(DEFAULT.server_message.size, answer * MIB)
    assert found.held - DEFAULT.held == found.held_each - DEFAULT.held_each == found.answer - DEFAULT.answer


async def _whole(writer: StreamWriter, received: Received) -> None:
    writer.write(http(message(received, result=result_of(received, LARGE))))


async def _streamed(writer: StreamWriter, received: Received) -> None:
    writer.write(SSE_HEAD + chunk(event(message(received, result=result_of(received, LARGE)))) + chunk(b""))


@pytest.mark.anyio
@pytest.mark.parametrize("behave", [_whole, _streamed])
@pytest.mark.parametrize("most", ["64MiB", None])
async def test_a_large_answer_passes_where_its_server_may_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behave: Any, most: str | None
) -> None:
    monkeypatch.setitem(BEHAVIOURS, "large", behave)
    settings = {} if most is None else {"limits": {"max_answer": most}}
    async with world(tmp_path, **settings) as made:
        _, said = await made.ask(call(arguments={"_rec": "large"}))
        if most is None:
            assert said["error"]["data"]["detail"] == "its answer is not valid"
        else:
            assert said["result"]["content"][0]["text"] == LARGE
