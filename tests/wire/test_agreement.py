"""What strict decoding accepts is one message to every reader that may stand behind the proxy."""

from __future__ import annotations

import base64
import json
import random
import subprocess
from typing import Any

import orjson
import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from policylayer.core.canonical import number
from policylayer.core.strict_json import Fault, parse
from tests.support import require, shared
from tests.wire.samples import odd_text

READERS = {
    "json": lambda raw: json.loads(raw.decode()),
    "orjson": orjson.loads,
    "pydantic_core": pydantic_core.from_json,
}

NODE = """
const form = value => Array.isArray(value) ? value.map(form)
  : typeof value === 'number' ? {n: String(value)}
  : value !== null && typeof value === 'object' ? {o: Reflect.ownKeys(value).map(key => [key, form(value[key])])}
  : value
let text = ''
process.stdin.on('data', chunk => text += chunk).on('end', () => {
  const decoder = new TextDecoder('utf-8', {fatal: true, ignoreBOM: true})
  const read = line => form(JSON.parse(decoder.decode(Buffer.from(line, 'base64'))))
  console.log(JSON.stringify(text.trim().split('\\n').map(read)))
})
"""


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types all the way down; order of members too."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def as_node_says(value: Any) -> Any:
    if isinstance(value, dict):
        return {"o": sorted([key, as_node_says(below)] for key, below in value.items())}
    if isinstance(value, list):
        return [as_node_says(below) for below in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return {"n": number(float(value))}
    return value


def sorted_members(value: Any) -> Any:
    # JavaScript puts members that look like array indexes first; order says nothing in JSON.
    if isinstance(value, dict) and "o" in value:
        return {"o": sorted([key, sorted_members(below)] for key, below in value["o"])}
    return [sorted_members(below) for below in value] if isinstance(value, list) else value


def has_large_integer(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_large_integer, value.values()))
    if isinstance(value, list):
        return any(map(has_large_integer, value))
    return type(value) is int and abs(value) > 2**53


def corpus() -> list[bytes]:
    source = random.Random(20260728)
    texts = [odd_text(source).encode(errors="replace") for _ in range(6000)]
    texts += [path.read_bytes() for path in sorted(shared.data("json-test-suite").glob("*.json"))]
    texts += [orjson.dumps({text: [text]}) for text in orjson.loads(shared.data("naughty-strings.json").read_bytes())]
    return [raw for raw in texts if not isinstance(parse(raw), Fault)]


@pytest.mark.shows("proxy.4")
@given(st.randoms(use_true_random=False))
def test_python_readers_agree(source: random.Random) -> None:
    raw = odd_text(source).encode(errors="replace")
    value = parse(raw)
    if not isinstance(value, Fault):
        for name, read in READERS.items():
            assert same(read(raw), value), (name, raw)


@pytest.mark.shows("proxy.4")
def test_readers_agree_about_everything_accepted() -> None:
    accepted = corpus()
    assert len(accepted) > 2000
    for raw in accepted:
        value = parse(raw)
        for name, read in READERS.items():
            assert same(read(raw), value), (name, raw)


@pytest.mark.shows("proxy.4")
def test_javascript_agrees() -> None:
    node = require.program("node")
    accepted = [raw for raw in corpus() if not has_large_integer(parse(raw))]
    lines = "\n".join(base64.b64encode(raw).decode() for raw in accepted)
    said = subprocess.run([node, "-e", NODE], input=lines.encode(), capture_output=True, check=True, timeout=60)
    values = json.loads(said.stdout)
    assert len(values) == len(accepted)
    for raw, value in zip(accepted, values, strict=True):
        assert sorted_members(value) == as_node_says(parse(raw)), raw
