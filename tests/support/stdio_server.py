"""A small stdio MCP server in plain Python, quick to start, that does what a tool's name says: `python FILE [how]`.

Tools: echo, env, progress, ask (a request to the client), noise (bytes that are no message), changed, log, die, hang,
long, cancelled (which ids were cancelled), late (answers after it was cancelled), both (answers two calls in reverse).
`how`: `legacy` refuses server/discover; `stubborn` ignores SIGTERM and the end of its input; `family` starts a child,
with pipes of its own where also `apart`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

HOW = sys.argv[1:]
cancelled: list[Any] = []
waiting: list[dict[str, Any]] = []
answers: dict[Any, Any] = {}


def say(message: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def reply(message: dict[str, Any], text: str) -> None:
    """A tool's result."""
    result = {"content": [{"type": "text", "text": text}], "resultType": "complete"}
    say({"jsonrpc": "2.0", "id": message["id"], "result": result})


def notify(method: str, **params: Any) -> None:
    """A notification."""
    say({"jsonrpc": "2.0", "method": method, "params": params})


def call(message: dict[str, Any]) -> None:
    """One tools/call."""
    params = message["params"]
    name, arguments = params["name"], params.get("arguments", {})
    token = params.get("_meta", {}).get("progressToken")
    if name == "env":
        reply(
            message, json.dumps({"env": dict(os.environ), "cwd": os.getcwd(), "pid": os.getpid(), "ppid": os.getppid()})
        )
    elif name == "progress":
        for step in (1, 2):
            notify("notifications/progress", progressToken=token, progress=step, total=2)
        reply(message, "progressed")
    elif name == "ask":
        waiting.append(message)
        say({"jsonrpc": "2.0", "id": "ask-1", "method": "roots/list"})
    elif name == "noise":
        sys.stdout.write("this is no message\n[1,2]\n{\n")
        reply(message, "after noise")
    elif name == "flood":
        sys.stdout.write("garbage\n" * int(arguments["lines"]))
        reply(message, "flooded")
    elif name == "changed":
        notify("notifications/tools/list_changed")
        reply(message, "changed")
    elif name == "log":
        notify("notifications/message", level="info", data="in a call")
        reply(message, "logged")
    elif name == "die":
        sys.stderr.write("dying with CANARY-SECRET-VALUE\n")
        sys.stderr.flush()
        os._exit(3)
    elif name == "long":
        reply(message, "x" * int(arguments["size"]))
    elif name == "cancelled":
        reply(message, json.dumps(cancelled))
    elif name in ("hang", "both", "late"):
        waiting.append(message)
        if name == "both" and sum(one["params"]["name"] == "both" for one in waiting) == 2:
            for one in reversed(waiting):
                reply(one, json.dumps(one["params"].get("arguments")))
            waiting.clear()
    else:
        reply(message, json.dumps({"arguments": arguments, "meta": params.get("_meta"), "id": message["id"]}))


def hear(message: dict[str, Any]) -> None:
    """One message."""
    method, id = message.get("method"), message.get("id")
    if method == "notifications/cancelled":
        cancelled.append(message["params"]["requestId"])
        for one in [one for one in waiting if one["params"]["name"] == "late"]:
            waiting.remove(one)
            reply(one, "too late")
    elif id == "ask-1" and method is None:
        reply(waiting.pop(), json.dumps(message.get("result")))
    elif id is None:
        return
    elif method == "initialize":
        about = {"serverInfo": {"name": "plain", "version": "1"}, "capabilities": {"tools": {"listChanged": True}}}
        say({"jsonrpc": "2.0", "id": id, "result": {"protocolVersion": message["params"]["protocolVersion"], **about}})
    elif method == "server/discover" and "legacy" not in HOW:
        about = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "resultType": "complete"}
        say({"jsonrpc": "2.0", "id": id, "result": {**about, "ttlMs": 0, "cacheScope": "private"}})
    elif method == "tools/call":
        call(message)
    elif method == "subscriptions/listen":
        tag = {"_meta": {"io.modelcontextprotocol/subscriptionId": id}}
        notify("notifications/subscriptions/acknowledged", **tag)
        notify("notifications/tools/list_changed", **tag)
    else:
        say({"jsonrpc": "2.0", "id": id, "error": {"code": -32601, "message": "Method not found"}})


def main() -> None:
    """Answer until the input ends."""
    if "stubborn" in HOW:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "family" in HOW:
        code = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
        where = subprocess.DEVNULL if "apart" in HOW else None
        child = subprocess.Popen([sys.executable, "-c", code], stdin=where, stdout=where, stderr=where)
        sys.stderr.write(f"child {child.pid}\n")
        sys.stderr.flush()
        with open(os.environ["FAMILY"], "w") as file:
            file.write(str(child.pid))
    for line in sys.stdin:
        hear(json.loads(line))
    while "stubborn" in HOW:
        time.sleep(60)


if __name__ == "__main__":
    main()
