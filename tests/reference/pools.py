"""The few names and values that random policy sets and calls are made of, so that they meet."""

from __future__ import annotations

from typing import Any, Final

PRINCIPALS: Final[dict[str, Any]] = {
    "attributes": {"tenant": "string", "level": "number", "oncall": "boolean", "projects": ["string"]},
    "principals": {
        "agent:a": {"owner": "user:x", "tenant": "acme", "level": 2, "projects": ["web", "api"]},
        "agent:b": {"tenant": "other", "oncall": True},
        "agent:c": {},
        "user:x": {"tenant": "acme", "level": 5, "oncall": False},
        "user:y": {},
    },
    "groups": {
        "team": ["agent:a", "agent:b"],
        "ops": ["user:x", "group:okta/ops"],
        "all": ["group:team", "group:ops"],
        "visitors": [{"member": "agent:c", "until": "2026-11-24T00:00:00Z"}, {"member": "user:y"}],
    },
    "issuers": ["okta"],
}
WHO: Final = ("agent:a", "agent:b", "agent:c", "user:x", "user:y")
GROUPS: Final = ("group:team", "group:ops", "group:all", "group:visitors", "group:okta/ops")
NAMES: Final = (*WHO, *GROUPS, "agent:*", "user:*", "*", "*", "group:*")
SERVERS: Final = ("s", "shop", "git-main")
SERVER_GLOBS: Final = (*SERVERS, "*", "*", "git-*")
TOOLS: Final = ("get_x", "set_x", "delete_x", "t")
TOOL_GLOBS: Final = (*TOOLS, "*", "*", "get_*", "*_x")
METHODS: Final = ("logging/setLevel", "sampling/createMessage", "completion/complete")
METHOD_GLOBS: Final = (*METHODS, "tools/call", "*", "completion/*", "resources/read")
RESOURCES: Final = (
    "file:///srv/data/a.txt",
    "FILE:///srv/data/../etc/passwd",
    "file:///srv/%2e%2e/x",
    "https://Example.com:443/docs/a",
    "https://example.com/docs/",
    "note://box",
    "note://box/",
    "note://Box/a?q=1",
    "urn:x",
    "file://host/x",
)
RESOURCE_GLOBS: Final = (
    "file:///srv/**",
    "file:///**/*.txt",
    "https://example.com/docs/*",
    "https://example.com/docs/",
    "note://box",
    "NOTE://box/**",
    "file:///etc/passwd",
    "**",
)
LABELS: Final = ("untrusted", "tested")

NUMBERS: Final = (0, 1, 2, 5, 10, 50, 99.5, 100, -1, 9007199254740993, 0.1)
TEXTS: Final = ("usd", "eur", "USD", "Usd", "", "a/b", "a", "acme", "web", "x.txt", "drop table", "é")
DECIMALS: Final = ("1.50", "5", "-1", "99.99", "abc", "1e3", "0.1")
PATHS: Final = (
    "/srv/data/a",
    "/srv",
    "/srv/data/../../etc",
    "a/b.txt",
    "~/x",
    "/srv/%2e%2e/x",
    "C:\\x",
    "/srv\\data",
    "",
)
URLS: Final = (
    "https://example.com/a",
    "https://api.Example.com:443/a/b?x=1",
    "http://example.com:8080/",
    "https://127.0.0.1/",
    "https://user@example.com/",
    "https://example.com/a/../b",
    "https://example.com/a%2fb",
    "ftp://example.com/",
    "https://EXAMPLE.com./a#f",
    "https://[::ffff:10.0.0.1]/x",
)
IPS: Final = ("10.0.0.1", "192.0.2.1", "::ffff:10.0.0.1", "fd00::1", "nonsense", "010.0.0.1")
OBJECTS: Final[tuple[Any, ...]] = ({}, {"a": 1}, {"a": 1, "b": None}, {"b": "x"}, {"a": "x", "c": [1]})
LISTS: Final[tuple[Any, ...]] = ([], ["usd"], ["usd", "eur"], ["a", None], [1, 2], ["x", 5], ["acme", "web"])
ROWS: Final[tuple[Any, ...]] = (
    [],
    [{"n": 1, "m": 2}],
    [{"n": 5, "m": 2}, {"n": 1}],
    [None],
    [{"n": "1"}],
    [5],
    [{"m": 10, "ys": [1, 2]}],
)

FIELDS: Final[dict[str, tuple[Any, ...]]] = {
    "n": NUMBERS,
    "m": NUMBERS,
    "text": TEXTS,
    "other": TEXTS,
    "price": DECIMALS,
    "flag": (True, False),
    "path": PATHS,
    "url": URLS,
    "ip": IPS,
    "opts": OBJECTS,
    "tags": LISTS,
    "rows": ROWS,
    "sp ace": TEXTS,
}
"""The arguments there are, with what they may hold."""

GLOBS: Final = ("*", "**", "a/*", "*.txt", "a/**/b", "u*d", "**/b")
EXPRESSIONS: Final = ("[a-z]+", "usd|eur", "a", ".*o.*", "[^a]*", "u.d", "(web|acme)")
DIRECTORIES: Final = ("/srv", "/srv/data", "/", "/etc")
PATH_GLOBS: Final = ("/srv/*", "/srv/**", "/**/*.txt", "**", "/etc")
HOSTS: Final = ("example.com", "*.example.com", "127.0.0.1", "*", "EXAMPLE.com", "10.0.0.1")
URL_GLOBS: Final = (
    "https://example.com/a",
    "https://*.example.com/**?**",
    "http://example.com:8080/**",
    "https://example.com/a/**?x=*",
    "https://*/**",
)
NETWORKS: Final = ("10.0.0.0/8", "192.0.2.1", "fd00::/8", "::/0", "0.0.0.0/0")
SCHEMAS: Final = (
    {"type": "string"},
    {"type": "number", "minimum": 5},
    {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
    {"type": "array", "items": {"type": "string"}},
    {"enum": ["usd", 5, True]},
)
ZONES: Final = ("UTC", "Europe/Berlin", "America/New_York")
DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
INSTANTS: Final = ("2026-11-23T12:00:00Z", "2026-11-24T00:30:00+01:00", "2026-10-25T01:30:00Z", "2027-01-01T00:00:00Z")

TEXT_PATHS: Final = (
    "server",
    "method",
    "target",
    "principal.id",
    "principal.kind",
    "principal.tenant",
    "principal.owner",
)
MORE_TEXTS: Final = ("for.id", "for.tenant", "request.protocol", "input.q.action")
