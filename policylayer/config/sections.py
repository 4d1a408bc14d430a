"""The sections of the configuration other than `servers`, and what must hold between them.

Must not know the file (`load.py`) nor who uses a value.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from policylayer.config import values
from policylayer.config.codes import ConfigCode
from policylayer.config.engines import read_opa, read_rego
from policylayer.config.fields import Reading, Section
from policylayer.config.model import Address, Approvals, Audit, Checkpoints, Config, KeySource, Limits, Tls
from policylayer.config.servers import ARGUMENTS, MIB, read_servers
from policylayer.config.telemetry import read_traces
from policylayer.policy import nodes
from policylayer.policy.codes import Code

KEYS: Final = (
    "listen",
    "public_url",
    "hosts",
    "origins",
    "behind_proxy",
    "tls",
    "database",
    "policies",
    "keys",
    "servers",
    "approvals",
    "audit",
    "session",
    "local_principal",
    "limits",
    "rego",
    "opa",
    "telemetry",
)
LISTEN: Final = Address("127.0.0.1", 8080, True)
_GIT: Final = re.compile(r"git:(.+)@([A-Za-z0-9][A-Za-z0-9._/-]{0,200}(?::[^:]{1,200})?)")
_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def read_config(reading: Reading, node: nodes.Mapping, file: Path) -> Config:
    """The configuration of a file's mapping; where something was found wrong, some values are stand-ins."""
    top = Section(reading, node, "the configuration", KEYS)
    audit = _audit(top.section("audit", ("arguments", "secret_keys", "checkpoints")))
    config = Config(
        file=file,
        listen=top.parsed("listen", values.address, ConfigCode.BAD_ADDRESS, "an address like `127.0.0.1:8080`", LISTEN),
        public_url=top.parsed("public_url", values.base_url, ConfigCode.BAD_URL, "a URL of a host, without path", None),
        hosts=top.parsed_list("hosts", values.host, ConfigCode.BAD_HOST, "a host name, with or without a port"),
        origins=top.parsed_list("origins", values.base_url, ConfigCode.BAD_URL, "an origin like `https://example.com`"),
        behind_proxy=top.parsed_list(
            "behind_proxy", values.network, ConfigCode.BAD_ADDRESS, "a network like `10.0.0.0/8` without host bits"
        ),
        tls=_tls(top),
        database=_database(top),
        policies=_policies(top),
        keys=_keys(top),
        servers=read_servers(top, audit.arguments),
        approvals=_approvals(top.section("approvals", ("hold", "hold_modern", "expires"))),
        audit=audit,
        session_window=top.section("session", ("window",)).duration("window", 12 * 3600, least=60),
        local_principal=top.text("local_principal"),
        limits=_limits(top.section("limits", ("message", "sessions", "calls"))),
        rego=read_rego(top),
        opa=read_opa(top),
        traces=read_traces(top),
    )
    _check_exposure(top, config)
    _check_public_url(top, config)
    _check_local_principal(top, config)
    return config


def _check_exposure(top: Section, config: Config) -> None:
    if not config.listen.loopback and config.tls is None and not config.behind_proxy:
        top.reading.problem(
            ConfigCode.EXPOSED,
            top.where("listen"),
            "listening beyond this machine needs `tls` or `behind_proxy`",
            "credentials would travel in the clear: add `tls: {cert: …, key: …}`, or name the proxy's networks",
        )


def _check_public_url(top: Section, config: Config) -> None:
    url = config.public_url
    if url is not None and url.startswith("http:") and not values.is_loopback_host(url.removeprefix("http://")):
        message = "`public_url` must be https, unless it names this machine"
        top.reading.problem(ConfigCode.BAD_URL, top.where("public_url"), message)


def _check_local_principal(top: Section, config: Config) -> None:
    """Whoever reaches the port would be that principal, so it must be sure that only this machine does."""
    principal = config.local_principal
    if principal is None:
        return
    problem, span = top.reading.problem, top.where("local_principal")
    if not values.is_principal(principal):
        problem(Code.BAD_NAME, span, f"{top.shown('local_principal')} is not a principal", "write it like `agent:dev`")
    public = config.public_url
    reachable = not config.listen.loopback or config.behind_proxy
    if reachable or (public is not None and not values.is_loopback_host(public.split("://")[1])):
        problem(
            ConfigCode.LOCAL_PRINCIPAL,
            span,
            "`local_principal` is only for a proxy that nothing but this machine reaches",
            "remove it and make grants (`policylayer grant create`), or remove `behind_proxy` and `public_url`",
        )


def _existing(section: Section, key: str) -> Path | None:
    text = section.text(key)
    if text is None:
        return None
    path = (section.reading.folder / text).resolve()
    if not os.path.isfile(path):
        section.reading.problem(ConfigCode.NO_SUCH_FILE, section.where(key), f"there is no file {section.shown(key)}")
    return path


def _tls(top: Section) -> Tls | None:
    if not top.has("tls"):
        return None
    section = top.section("tls", ("cert", "key"))
    for key in ("cert", "key"):
        if not section.has(key):
            section.reading.problem(Code.MISSING_KEY, section.span, f"`tls` has no `{key}`")
    cert, key_file = _existing(section, "cert"), _existing(section, "key")
    return Tls(cert, key_file) if cert and key_file else None


def _database(top: Section) -> str:
    text = top.text("database") or "sqlite:///policylayer.db"
    folder = top.reading.folder
    if text.startswith("sqlite:///") and len(text) > len("sqlite:///"):
        name = text.removeprefix("sqlite:///")
        if why := _is_no_file(name):
            top.reading.problem(ConfigCode.BAD_DATABASE, top.where("database"), why)
        return f"sqlite:///{(folder / name).resolve()}"
    if re.match(r"postgres(?:ql)?://[^/]", text):
        return "postgresql://" + text.partition("://")[2]
    top.reading.problem(
        ConfigCode.BAD_DATABASE,
        top.where("database"),
        "`database` must be `sqlite:///FILE` or `postgresql://…`",
    )
    return text


def _is_no_file(name: str) -> str | None:
    """Why this cannot be a SQLite file's name, though there could be a file of that name."""
    if "?" in name:
        return "`database` names a SQLite file and nothing else: options after `?` are not known"
    if name == ":memory:":
        return "`database` must be a file: a log in memory would not be durable"
    return None


def _policies(top: Section) -> str:
    text = top.text("policies") or "./policies"
    folder = top.reading.folder
    if text.startswith("git:"):
        found = _GIT.fullmatch(text)
        if found is None:
            top.reading.problem(
                ConfigCode.NO_SUCH_FILE, top.where("policies"), "a git source is written `git:REPOSITORY@REF`"
            )
            return text
        path, suffix = (folder / found[1]).resolve(), f"@{found[2]}"
        prefix = "git:"
    else:
        path, prefix, suffix = (folder / text).absolute(), "", ""
    if top.reading.policies and not _is_folder(path):
        help = "create it, or let `policylayer init` write a first policy"
        message = f"there is no folder {top.shown('policies') if top.has('policies') else '`./policies`'}"
        top.reading.problem(ConfigCode.NO_SUCH_FILE, top.where("policies"), message, help)
    return f"{prefix}{path}{suffix}"


def _is_folder(path: Path) -> bool:
    """Whether it is one; of a place that cannot be looked into, whoever reads it says so."""
    try:
        return path.is_dir()
    except PermissionError:
        return True


def _keys(top: Section) -> KeySource:
    """`file` is one path or a list of them, the current one first; `env` names a variable that holds the key itself."""
    section = top.section("keys", ("file", "env"))
    reading = section.reading
    if section.has("env"):
        if section.has("file"):
            reading.problem(Code.CONFLICTING_KEYS, section.span, "`keys` has both `file` and `env`")
        name = section.text("env") or ""
        return KeySource((), reading.variable(name, section.where("env")) if name else None, name)
    names = section.one_or_more("file") or ("policylayer.key",)
    return KeySource(tuple((reading.folder / name).resolve() for name in names))


def _approvals(section: Section) -> Approvals:
    default = Approvals()
    return Approvals(
        hold=section.duration("hold", default.hold, most=3600),
        hold_modern=section.duration("hold_modern", default.hold_modern, most=3600),
        expires=section.duration("expires", default.expires, most=30 * 86400),
    )


def _audit(section: Section) -> Audit:
    arguments = section.choice("arguments", ARGUMENTS, "redacted")
    names = section.parsed_list(
        "secret_keys", lambda text: text if _HEADER_NAME.fullmatch(text) else None, Code.BAD_NAME, "a key's name"
    )
    return Audit(arguments, names, _checkpoints(section))


def _checkpoints(audit: Section) -> Checkpoints:
    section = audit.section("checkpoints", ("every", "seconds", "file", "stdout", "webhook"))
    default = Checkpoints()
    file = section.text("file")
    return Checkpoints(
        every=section.number("every", default.every, 1, 1_000_000),
        seconds=section.number("seconds", default.seconds, 1, 86_400),
        file=None if file is None else (section.reading.folder / file).resolve(),
        stdout=section.flag("stdout", default.stdout),
        webhook=section.parsed("webhook", values.server_url, ConfigCode.BAD_URL, "a URL", None),
    )


def _limits(section: Section) -> Limits:
    default = Limits()
    return Limits(
        message=section.size("message", default.message, 16 * 1024, 64 * MIB),
        sessions=section.number("sessions", default.sessions, 1, 1_000_000),
        calls=section.number("calls", default.calls, 1, 100_000),
    )
