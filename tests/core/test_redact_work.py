"""What a record keeps is found by a bounded amount of work, whatever is sent."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from policylayer.core import redact
from policylayer.core.redact import Redactor
from policylayer.core.secret_shapes import is_secret_key, mask_spans, names_secret
from tests.core.test_redact import kept, mark


def looked_at(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> int:
    """How many texts were compared with the shapes of secrets, and how many digests were made, for one record."""
    looks = []

    def look(text: str, replace: Any) -> str | None:
        looks.append(text)
        return mask_spans(text, replace)

    def counted(value: Any) -> str:
        looks.append("")
        return mark(value)

    monkeypatch.setattr(redact, "mask_spans", look)
    monkeypatch.setattr(redact, "names_secret", lambda key, extra: looks.append(key) or names_secret(key, extra))
    monkeypatch.setattr(redact, "is_secret_key", lambda key, *more: looks.append(key) or is_secret_key(key, *more))
    view = Redactor(counted).view("redacted", arguments)
    assert (view.mode, view.text, view.why) == ("digest", None, "too much to look through")
    return len(looks)


@pytest.mark.shows("audit.1")
@pytest.mark.parametrize(
    "arguments",
    [
        {"a": ["%70assword%3Dhunter2x"] * 50_000},
        {"a": [base64.b64encode(b"password=hunter2 token=abc").decode()] * 50_000},
        {"a": ["token: abc; bearer xyzabc; https://a:b@c " * 20] * 2_000},
        {"a": ['{"a":{"a":{"token":"abcd"}}}'] * 20_000},
        {f"{n} apikey_{n}": "x" for n in range(50_000)},
        {"a" * 4000: [{"token": n} for n in range(2_000)]},
        {"a": list(range(200_000))},
    ],
    ids=["percent", "base64", "hinted", "json", "keys", "long paths", "numbers"],
)
def test_a_record_takes_a_bounded_amount_of_looking(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """AUD-17: whoever is denied must not be able to keep everybody waiting with what is recorded of it."""
    assert looked_at(arguments, monkeypatch) < 8_000


@pytest.mark.shows("audit.1")
def test_what_is_kept_at_most_is_looked_through_whole() -> None:
    for arguments in ({"a": ["twenty characters up"] * 2_000}, {"rows": [{"id": n, "ok": True} for n in range(1_900)]}):
        assert kept(arguments) == orjson.dumps(arguments).decode()
