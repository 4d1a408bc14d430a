"""The configuration file: what it gives, and that every problem is said with its place, all at once."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path

import pytest

from policylayer.config import Config, ConfigProblems, Read, load, read
from policylayer.config.facts import server_facts
from policylayer.config.model import Address, Approvals, Limits, ServerLimits, Traces
from policylayer.core.call import Unwrap

FULL = """\
listen: 127.0.0.1:0
public_url: https://proxy.example.com/
hosts: [Proxy.internal, "10.0.0.5:8080"]
origins: ["https://console.example.com"]
behind_proxy: [10.0.0.0/8, "::1"]
tls: {cert: tls.crt, key: tls.key}
database: sqlite:///data/policylayer.db
policies: ./rules
keys: {file: [new.key, old.key]}
servers:
  shop:
    url: "http://127.0.0.1:3001/mcp"
    headers: {Authorization: "Bearer ${SHOP_TOKEN}"}
    limits: {timeout: 20s, max_answer: 2MiB, max_calls: 8}
  files:
    command: [npx, -y, "@modelcontextprotocol/server-filesystem", ./data]
    cwd: ./data
    env: {DEBUG: "1"}
    mode: observe
    trust_annotations: true
    audit: {arguments: digest, tools: {write_file: none, "get_*": full}}
approvals: {hold: 10s, hold_modern: 2m, expires: 2h}
audit: {arguments: full, secret_keys: [ssn]}
session: {window: 1d}
limits: {message: 1MiB, sessions: 50}
telemetry: {traces: {url: "http://127.0.0.1:4318", headers: {X-Key: "${SHOP_TOKEN}"}, percent: 10}}
"""


def write(folder: Path, text: str) -> Path:
    for name in ("data", "rules", "policies"):
        (folder / name).mkdir(exist_ok=True)
    for name in ("tls.crt", "tls.key"):
        (folder / name).write_text("")
    path = folder / "policylayer.yaml"
    path.write_text(text)
    return path


def config_of(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> Config:
    return load(write(folder, text), environment or {})


def problems(folder: Path, text: str, environment: Mapping[str, str] | None = None) -> list[str]:
    """`line:column code message` of each problem."""
    found: Read = read(write(folder, text), environment or {})
    assert found.config is None
    return [f"{each.line}:{each.column} {each.code} {each.message}" for each in found.diagnostics]


def test_everything_that_may_be_written(tmp_path: Path) -> None:
    config = config_of(tmp_path, FULL, {"SHOP_TOKEN": "s3cret"})
    assert config.listen == Address("127.0.0.1", 0, True)
    assert config.public_url == "https://proxy.example.com"
    assert config.hosts == ("proxy.internal", "10.0.0.5:8080")
    assert config.origins == ("https://console.example.com",)
    assert config.behind_proxy == (ip_network("10.0.0.0/8"), ip_network("::1"))
    assert config.tls is not None
    assert config.tls.cert == tmp_path / "tls.crt"
    assert config.database == f"sqlite:///{tmp_path}/data/policylayer.db"
    assert config.policies == str(tmp_path / "rules")
    assert config.keys.files == (tmp_path / "new.key", tmp_path / "old.key")
    assert config.approvals == Approvals(10, 120, 7200)
    assert (config.audit.arguments, config.audit.secret_keys) == ("full", ("ssn",))
    assert config.session_window == 86400
    assert config.limits == Limits(message=1024 * 1024, sessions=50)
    assert config.traces == Traces("http://127.0.0.1:4318", (("X-Key", "s3cret"),), 10)
    shop, files = config.servers
    assert (shop.tools, files.tools) == ((), (("write_file", "none"), ("get_*", "full")))
    assert (shop.url, shop.headers) == ("http://127.0.0.1:3001/mcp", (("Authorization", "Bearer s3cret"),))
    assert shop.limits == ServerLimits(timeout=20, max_answer=2 * 1024 * 1024, max_calls=8)
    assert (shop.mode, shop.trust_annotations, shop.arguments, shop.cwd) == ("enforce", False, "full", None)
    assert files.command == ("npx", "-y", "@modelcontextprotocol/server-filesystem", "./data")
    assert (files.cwd, files.folder) == (str(tmp_path / "data"), tmp_path / "data")
    assert (files.mode, files.trust_annotations, files.arguments, files.env) == (
        "observe",
        True,
        "digest",
        {"DEBUG": "1"},
    )


def test_defaults(tmp_path: Path) -> None:
    config = config_of(tmp_path, "servers: {a: {command: [x]}}\n")
    assert config.listen == Address("127.0.0.1", 8080, True)
    assert config.database == f"sqlite:///{tmp_path}/policylayer.db"
    assert config.keys.files == (tmp_path / "policylayer.key",)
    assert (config.local_principal, config.public_url, config.tls) == (None, None, None)
    assert config.servers[0].folder == tmp_path


def test_secrets_are_in_no_repr(tmp_path: Path) -> None:
    text = 'servers: {a: {url: "http://h/mcp", headers: {X-Key: "${K}"}}, b: {command: [x], env: {T: "${K}"}}}\n'
    assert "CANARY" not in repr(config_of(tmp_path, text, {"K": "CANARY"}))


def test_all_problems_at_once_with_their_places(tmp_path: Path) -> None:
    text = """\
listen: 0.0.0.0:8080
publc_url: https://x
database: mysql://x
policies: ./nowhere
servers:
  Git: {url: "ftp://x"}
  git: {command: npx -y thing, headers: {A: b}}
  both: {url: "http://a/mcp", command: [x]}
  none: {mode: watch}
  "a b": {url: "http://a/mcp", headers: {"bad name": x, Host: z, X: "${NOT_SET}"}}
approvals: {hold: 5 minutes, expires: 90d}
audit: {arguments: some}
limits: {message: 4MB}
"""
    assert problems(tmp_path, text) == [
        "1:9 PL203 listening beyond this machine needs `tls` or `behind_proxy`",
        "2:1 PL103 unknown key `publc_url` in the configuration",
        "3:11 PL210 `database` must be `sqlite:///FILE` or `postgresql://…`",
        "4:11 PL207 there is no folder `./nowhere`",
        "6:14 PL204 `ftp://x` is not an http or https URL without userinfo or fragment",
        "7:3 PL206 the servers `Git` and `git` differ only in case",
        "7:18 PL120 `command` in server `git` must be a list, not text",
        "7:41 PL128 `headers` has no meaning for a server with a `command`",
        "8:9 PL128 server `both` has both a `url` and a `command`",
        "9:9 PL121 server `none` has neither a `url` nor a `command`",
        "9:16 PL123 `watch` is not a choice of `mode`",
        "10:3 PL124 `a b` cannot name a server",
        "10:42 PL208 the header `bad name` cannot be sent",
        "10:57 PL208 the header `Host` cannot be sent",
        "10:69 PL201 the environment variable `NOT_SET` is not set",
        "11:19 PL125 `5 minutes` is not a duration like `30s`, `5m`, `1h` or `7d`",
        "11:39 PL127 `expires` must be between 1s and 2592000s",
        "12:20 PL123 `some` is not a choice of `arguments`",
        "13:19 PL209 `4MB` is not a size like `512KiB` or `4MiB`",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "PL113"),
        ("- a\n", "must be a mapping, not a list"),
        ("servers: {}\n", "no server is configured"),
        (
            'opa: {url: "http://127.0.0.1:1", path: own/decision, push: true}\n',
            "the decision is `policylayer/decision`",
        ),
        ("servers: {a: {command: []}}\n", "`command` of server `a` is empty"),
        ("servers: {a: {command: [x, yes]}}\n", "PL108"),
        ("servers: {a: {command: [x]}, a: {command: [y]}}\n", "PL104"),
        ("servers: &x {a: {command: [x]}}\n", "PL105"),
        ("servers: {a: 3}\n", "server `a` must be a mapping, not a number"),
        ("listen: example.com:80\n", "is not an address like"),
        ("listen: 127.0.0.1:99999\n", "is not an address like"),
        ("listen: 8080\n", "`listen` in the configuration must be text, not a number"),
        ("public_url: https://a/path\n", "is not a URL of a host, without path"),
        ("public_url: https://u:p@a\n", "is not a URL of a host, without path"),
        ("public_url: http://a.example\n", "`public_url` must be https"),
        ("hosts: [a/b]\n", "this is not a host name"),
        ("origins: [null]\n", "an item of `origins` must be text, not null"),
        ("behind_proxy: [10.0.0.1/8]\n", "this is not a network"),
        ("tls: {cert: no.crt}\n", "`tls` has no `key`"),
        ("policies: git:./repo\n", "a git source is written `git:REPOSITORY@REF`"),
        ("keys: {env: NO_SUCH_VARIABLE}\n", "the environment variable `NO_SUCH_VARIABLE` is not set"),
        ("local_principal: dev\n", "`dev` is not a principal"),
        ("local_principal: 'agent:*'\n", "`agent:*` is not a principal"),
        ("local_principal: agent:a\nbehind_proxy: [10.0.0.0/8]\n", "PL205"),
        ("local_principal: agent:a\npublic_url: https://a.example\n", "PL205"),
        ("local_principal: agent:a\nlisten: 10.0.0.1:1\ntls: {cert: tls.crt, key: tls.key}\n", "PL205"),
        ("database: sqlite://\n", "`database` must be"),
        ("database: sqlite:///policylayer.db?mode=ro\n", "PL210 `database` names a SQLite file and nothing else"),
        ("database: 'sqlite:///:memory:'\n", "PL210 `database` must be a file"),
        ("telemetry: {traces: {}}\n", "`traces` of `telemetry` has no `url`"),
        ("telemetry: {traces: {url: collector}}\n", "`collector` is not a URL like"),
        ("telemetry: {traces: {url: 'http://c', percent: 0}}\n", "`percent` must be between 1 and 100"),
        ("telemetry: {traces: {url: 'http://c', headers: {Host: x}}}\n", "the header `Host` cannot be sent"),
        ("telemetry: {trace: x}\n", "unknown key `trace` in `telemetry`"),
        ("servers: {a: {command: [x], audit: {tools: {'a[b]': none}}}}\n", "`a[b]` cannot name a tool"),
        ("servers: {a: {command: [x], audit: {tools: {b: some}}}}\n", "`some` is not a choice of `b`"),
        ("servers: {a: {command: [x], audit: {tools: [b]}}}\n", "`tools` of `audit` of server `a` must be a mapping"),
    ],
)
def test_single_problems(tmp_path: Path, text: str, message: str) -> None:
    if "servers" not in text and text.startswith(tuple("abcdefghijklmnopqrstuvwxyz")):
        text += "servers: {s: {command: [x]}}\n"
    found = problems(tmp_path, text)
    assert any(message in each for each in found), found


def test_a_key_that_is_not_set_cannot_be_a_text(tmp_path: Path) -> None:
    """`$${NAME}` is what a text writes; here it would name a variable of that name."""
    servers = "servers: {s: {command: [x]}}\n"
    (found,) = read(write(tmp_path, f"keys: {{env: NO_KEY}}\n{servers}"), {}).diagnostics
    assert (found.code, found.help) == ("PL201", "export NO_KEY=… before starting")
    (found,) = read(write(tmp_path, f"keys: {{env: NO-KEY}}\n{servers}"), {}).diagnostics
    assert (found.code, found.message) == ("PL201", "`NO-KEY` is no variable's name")
    assert config_of(tmp_path, f"keys: {{env: KEY}}\n{servers}", {"KEY": "x"}).keys.variable == "KEY"


def test_values_of_variables_are_never_shown(tmp_path: Path) -> None:
    text = 'servers: {a: {url: "http://h/mcp", headers: {X: "${K}"}}, b: {url: "${U}"}}\n'
    found = read(write(tmp_path, text), {"K": "CANARY\n", "U": "CANARY"})
    assert found.config is None
    assert "CANARY" not in ConfigProblems(found).rendered
    assert "`${U}`" in ConfigProblems(found).rendered


def test_a_doubled_dollar_is_no_variable(tmp_path: Path) -> None:
    assert config_of(tmp_path, 'servers: {a: {command: [sh, -c, "echo $${HOME} $HOME"]}}\n').servers[0].command[2] == (
        "echo ${HOME} $HOME"
    )


def test_local_principal_and_git(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    text = "local_principal: agent:dev\npolicies: git:./repo@release/1\nservers: {a: {command: [x]}}\n"
    config = config_of(tmp_path, text)
    assert config.local_principal == "agent:dev"
    assert config.policies == f"git:{tmp_path}/repo@release/1"


@pytest.mark.parametrize("make", ["missing", "folder", "fifo", "large"])
def test_what_is_no_configuration_file(tmp_path: Path, make: str) -> None:
    import os

    path = tmp_path / "c.yaml"
    if make == "folder":
        path.mkdir()
    elif make == "fifo":
        os.mkfifo(path)
    elif make == "large":
        path.write_bytes(b"#" * (1024 * 1024 + 1))
    with pytest.raises(ConfigProblems) as caught:
        load(path, {})
    assert caught.value.diagnostics[0].line == 1


def test_rendered_with_the_line_and_a_caret(tmp_path: Path) -> None:
    path = write(tmp_path, "lisen: 127.0.0.1:1\nservers: {a: {command: [x]}}\n")
    rendered = ConfigProblems(read(path, {})).rendered
    assert f"{path}:1:1: error[PL103]: unknown key `lisen` in the configuration" in rendered
    assert "^^^^^ help: did you mean `listen`?" in rendered


# --- meta-tools -------------------------------------------------------------------------------------------------------

HUB = 'servers:\n  hub:\n    url: "http://h/mcp"\n    unwrap: '


def test_one_meta_tool_or_a_list_of_them(tmp_path: Path) -> None:
    one = HUB + "{tool: call_tool, name: args.tool_name, arguments: args.arguments}\n"
    (server,) = config_of(tmp_path, one).servers
    assert server.unwrap == (Unwrap("call_tool", ("args", "tool_name"), ("args", "arguments")),)
    assert server_facts(server).unwrap == server.unwrap
    many = HUB + (
        "\n      - {tool: flat, name: 'args.\"a b\".c', arguments: args}"
        "\n      - {tool: text, name: args.n, arguments: args.a, arguments_as: json}"
        "\n      - {tool: batch, each: args.calls, name: item.tool, arguments: item.arguments}"
        "\n      - {tool: map, each: args.inputs, name: args.tool, arguments: item}\n"
    )
    (server,) = config_of(tmp_path, many).servers
    assert server.unwrap == (
        Unwrap("flat", ("args", "a b", "c"), ("args",)),
        Unwrap("text", ("args", "n"), ("args", "a"), as_json=True),
        Unwrap("batch", ("item", "tool"), ("item", "arguments"), ("args", "calls")),
        Unwrap("map", ("args", "tool"), ("item",), ("args", "inputs")),
    )


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("[]", "4:13 PL122 an empty list"),
        ("call_tool", "4:13 PL120 expected a mapping (`unwrap`), found text"),
        ("{tool: t, name: args.n}", "4:13 PL121 `arguments` is missing in `unwrap`"),
        ("{tol: t, name: args.n, arguments: args.a}", "4:14 PL103 unknown key `tol` in `unwrap`"),
        ("{tool: ' t', name: args.n, arguments: args.a}", "4:20 PL124 ` t` cannot be a tool's name"),
        ("{tool: t, name: args, arguments: args.a}", "4:29 PL161 there is no `args` here"),
        ("{tool: t, name: arg.n, arguments: args.a}", "4:29 PL161 there is no `arg.n` here"),
        ("{tool: t, name: 'args.*', arguments: args.a}", "4:29 PL160 `args.*` is not a path"),
        ("{tool: t, name: args.n, arguments: input.a}", "4:48 PL161 there is no `input.a` here"),
        ("{tool: t, name: item.n, arguments: args.a}", "4:23 PL161 there is no list to have items"),
        (
            "{tool: t, each: args.l, name: args.n, arguments: args.a}",
            "4:23 PL161 nothing is read of the elements of `each`",
        ),
        ("{tool: t, each: item.l, name: item.n, arguments: item.a}", "4:29 PL161 there is no `item.l` here"),
        (
            "{tool: t, name: args.n, arguments: args.a, arguments_as: yaml}",
            "4:70 PL123 `yaml` is not a form of arguments",
        ),
        (
            "[{tool: t, name: args.n, arguments: args.a}, {tool: t, name: args.m, arguments: args.b}]",
            "4:13 PL128 the tool `t` is declared twice",
        ),
    ],
)
def test_a_meta_tool_that_could_not_be_looked_into_is_refused(tmp_path: Path, written: str, said: str) -> None:
    assert problems(tmp_path, HUB + written + "\n") == [said]


SHOP = 'servers: {shop: {url: "http://127.0.0.1:1/mcp"}}\n'


@pytest.mark.shows("proxy.1")
@pytest.mark.parametrize(
    ("text", "message", "help"),
    [
        (f"{SHOP}approvals: {{hold: 30}}\n", "must be text, not a number", "write a duration like `30s`"),
        (f"{SHOP}listen: 39381\n", "must be text, not a number", "write an address like `127.0.0.1:8080`"),
        ("servers: {shop: {command: npx -y x}}\n", "must be a list, not text", "write `command: [npx, -y, x]`"),
        ("servers: {shop: http://x}\n", "must be a mapping, not text", "write `{url: http://…}`"),
        ("server: http://x\n", "unknown key `server`", "write `servers: {NAME: {url: http://…}}`"),
        (f"{SHOP}zzqq: 1\n", "unknown key `zzqq`", "known: `approvals`, `audit`, "),
        ('servers: {shop: {url: "${X"}}\n', "`${X` has no closing brace", "write `${X}`"),
        ('servers: {shop: {url: "http://x/${}"}}\n', "`${}` is no variable's name", "write `${NAME}`"),
        ('servers: {shop: {url: "${X:-d}"}}\n', "`${X:-d}` is no variable's name", "there are no defaults"),
    ],
)
def test_a_mistake_that_is_easily_made_comes_with_what_to_write(
    tmp_path: Path, text: str, message: str, help: str
) -> None:
    first = read(write(tmp_path, text), {"X": "http://x"}).diagnostics[0]
    assert message in first.message
    assert first.help.startswith(help) or help in first.help


def test_a_brace_that_is_meant(tmp_path: Path) -> None:
    env = "{A: '$${X', B: '$${X}', C: '$X', D: '${X}'}"
    config = config_of(tmp_path, f"servers: {{shop: {{command: [x], env: {env}}}}}\n", {"X": "1"})
    assert dict(config.servers[0].env) == {"A": "${X", "B": "${X}", "C": "$X", "D": "1"}


def test_who_reads_no_policies_can_do_without_their_folder(tmp_path: Path) -> None:
    path = write(tmp_path, "policies: ./gone\nservers: {shop: {url: 'http://127.0.0.1:1/mcp'}}\n")
    with pytest.raises(ConfigProblems, match="there is no folder"):
        load(path, {})
    assert load(path, {}, policies=False).policies == str(tmp_path / "gone")
