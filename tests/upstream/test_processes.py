"""How a process behind a command begins, lives and ends: environment, place under the cap, children, words."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
import structlog

from policylayer.core.errors import Lost, NotSent, Overrun
from policylayer.upstream import Exchange, Limits, Overloaded
from policylayer.upstream.child import LINES_AT_ONCE
from policylayer.upstream.glance import Glance, glance
from tests.upstream.helpers import call
from tests.upstream.scripted import INITIALIZE, Session, gone, modern, pid_of, stdio, text

pytestmark = pytest.mark.anyio


@pytest.mark.shows("proxy.5")
async def test_a_process_sees_a_clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POLICYLAYER_CANARY", "CANARY")
    monkeypatch.setenv("LANG", "C.UTF-8")
    async with stdio(env={"CONFIGURED": "yes"}, cwd=tmp_path) as upstream:
        seen = json.loads(await text(await upstream.exchange(modern(call("env")))))
    assert seen["env"]["CONFIGURED"] == "yes"
    assert seen["env"]["LANG"] == "C.UTF-8"
    assert not [name for name in seen["env"] if "CANARY" in name or name.startswith("PYTEST")]
    assert seen["cwd"] == str(tmp_path)


@pytest.mark.parametrize(
    ("command", "cwd", "expected"),
    [
        (("no-such-program-here",), None, "there is no program `no-such-program-here`"),
        (("/",), None, "permission denied"),
        ((sys.executable,), Path("/nonexistent"), "its folder `/nonexistent` does not exist"),
    ],
)
async def test_a_command_that_cannot_be_started_says_what_to_mend(
    command: tuple[str, ...], cwd: Path | None, expected: str
) -> None:
    async with stdio(command=command, cwd=cwd) as upstream:
        for exchange in (modern(call()), Exchange("POST", [], INITIALIZE)):
            with pytest.raises(NotSent, match=expected) as caught:
                await upstream.exchange(exchange)
            assert caught.value.help


async def test_a_command_that_ends_at_once() -> None:
    async with stdio(command=(sys.executable, "-c", "import sys; sys.exit('no licence')")) as upstream:
        with pytest.raises((Lost, NotSent)):
            await upstream.exchange(Exchange("POST", [], INITIALIZE))


@pytest.mark.shows("proxy.5")
async def test_over_the_cap_of_processes_a_session_is_refused_and_a_place_becomes_free() -> None:
    async with stdio(max_processes=2) as upstream:
        first = await Session.open(upstream)
        pid = json.loads(await text(await first.send(call("env"))))["pid"]
        await Session.open(upstream)
        with pytest.raises(Overloaded, match="as many processes"):
            await Session.open(upstream)
        with pytest.raises(Overloaded):
            await upstream.exchange(modern(call()))
        await first.send(b"", "DELETE")
        await gone(pid)
        async with asyncio.timeout(10):
            while True:
                try:
                    await Session.open(upstream)
                except Overloaded:
                    await asyncio.sleep(0.01)
                else:
                    return


@pytest.mark.shows("proxy.5")
async def test_an_idle_process_is_ended() -> None:
    async with stdio(idle_timeout=0.05, session_idle_timeout=0.05) as upstream:
        await gone(await pid_of(upstream))
        session = await Session.open(upstream)
        pid = json.loads(await text(await session.send(call("env"))))["pid"]
        await gone(pid)
        async with asyncio.timeout(5):
            while (await session.send(call())).status != 404:
                await asyncio.sleep(0.01)


async def test_an_open_stream_is_not_idle() -> None:
    async with stdio(session_idle_timeout=0.05) as upstream:
        session = await Session.open(upstream)
        listening = await session.send(b"", "GET", endless=True)
        await asyncio.sleep(0.2)
        assert json.loads(await text(await session.send(call("echo", id="still"))))["id"] == "still"
        listening.close()


@pytest.mark.parametrize("how", [("stubborn", "family"), ("family",), ("family", "apart")])
async def test_closing_ends_all_processes_even_stubborn_ones_and_their_children(
    how: tuple[str, ...], tmp_path: Path
) -> None:
    family = tmp_path / "family"
    async with stdio(*how, env={"FAMILY": str(family)}, stop_timeout=0.1) as upstream:
        pids = [await pid_of(upstream), int(family.read_text())]
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert not psutil.pid_exists(pids[0])
    child = pids[1]
    async with asyncio.timeout(5):
        while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.01)


async def test_a_killed_process_takes_its_children_along(tmp_path: Path) -> None:
    family = tmp_path / "family"
    async with stdio("family", env={"FAMILY": str(family)}, stop_timeout=0.1) as upstream:
        os.kill(await pid_of(upstream), signal.SIGKILL)
        child = int(family.read_text())
        async with asyncio.timeout(5):
            while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
                await asyncio.sleep(0.01)


@pytest.mark.shows("proxy.5")
@pytest.mark.parametrize("how", ["killed", "closed"])
async def test_who_waits_for_a_process_that_reads_nothing_is_woken_by_its_end(how: str) -> None:
    deaf = (sys.executable, "-S", "-c", "import time; time.sleep(600)")
    async with stdio(command=deaf, stop_timeout=0.1) as upstream:
        exchanges = [modern(call("safe", text="x" * 1_000_000)) for _ in range(3)]
        tasks = [asyncio.get_running_loop().create_task(upstream.exchange(each)) for each in exchanges]
        async with asyncio.timeout(10):
            while not (
                children := [each for each in psutil.Process().children() if each.cmdline()[-1:] == list(deaf[-1:])]
            ):
                await asyncio.sleep(0.01)
            await asyncio.wait(tasks, timeout=0.1)
            if how == "killed":
                children[0].kill()
            else:
                await upstream.close()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in ended] == [Lost, NotSent, NotSent]


async def test_lines_that_are_no_messages_are_passed_over() -> None:
    async with stdio() as upstream:
        assert await text(await upstream.exchange(modern(call("noise")))) == "after noise"


async def test_a_flood_of_lines_neither_holds_up_others_nor_fills_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    lines, most, running = 0, 0, True

    def counting(line: bytes) -> Glance | None:
        nonlocal lines
        lines += 1
        return glance(line)

    async def others() -> None:
        nonlocal most
        while running:
            before = lines
            await asyncio.sleep(0)
            most = max(most, lines - before)

    monkeypatch.setattr("policylayer.upstream.conversation.glance", counting)
    with structlog.testing.capture_logs() as logs:
        async with stdio() as upstream:
            having_turns = asyncio.get_running_loop().create_task(others())
            assert await text(await upstream.exchange(modern(call("flood", lines=50_000)))) == "flooded"
            running = False
            await having_turns
    assert lines > 50_000
    assert most <= 2 * LINES_AT_ONCE, "what is in the buffer is not read in one go"
    assert len([entry for entry in logs if entry["event"] == "server wrote a line that is no message"]) < 20


async def test_a_line_that_is_too_long_ends_the_process() -> None:
    small = Limits(timeout=10, max_answer_bytes=100_000)
    async with stdio(limits=small) as upstream:
        assert len(await text(await upstream.exchange(modern(call("long", size=90_000))))) == 90_000
        with pytest.raises(Overrun, match="more than 100000 bytes"):
            await upstream.exchange(modern(call("long", size=1_000_000)))
        assert await pid_of(upstream)


async def test_what_a_process_says_on_stderr_is_logged_without_its_secrets() -> None:
    with structlog.testing.capture_logs() as logs:
        async with stdio(env={"TOKEN": "CANARY-SECRET-VALUE"}) as upstream:
            with pytest.raises(Lost) as caught:
                await upstream.exchange(modern(call("die")))
    said = [entry["line"] for entry in logs if entry["event"] == "server stderr"]
    assert said == ["dying with ***"]
    assert "CANARY" not in caught.value.message
