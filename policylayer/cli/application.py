"""The command table, and running one of them: each is in its own file, imported only when it is called.

Must not know what a command does. Every file has an `app`, made by `new`.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Final

from policylayer.cli.exits import OK, USAGE, UsageError
from policylayer.cli.output import note
from policylayer.policy.diagnostics import did_you_mean, quote

if TYPE_CHECKING:
    import typer

COMMANDS: Final[dict[str, str]] = {
    "serve": "run the proxy",
    "demo": "run an example server, the proxy and a scripted agent, to look at",
    "init": "ask a server for its tools; write a configuration and a first policy",
    "connect": "a stdio front of the proxy, for clients that launch a command",
    "check": "read policies, and say everything that is wrong with them",
    "test": "run the tests of policies",
    "explain": "why a call gets its decision, and what would change it; what a code means",
    "access": "who can reach which tool, by which rule; what a change opens and closes",
    "replay": "what other policies would have made of the recorded calls",
    "grant": "agents' credentials: create, list, rotate, revoke",
    "token": "people's credentials: create, list, revoke",
    "approvals": "held calls: list, show, approve, deny, withdraw, watch; waivers, revoke",
    "audit": "the decision log: tail, query, show, events, export, verify, prune, mark",
    "freeze": "stop a principal, a server, or everything, at once",
    "thaw": "end a freeze",
    "reload": "have the proxy read its policies again, and wait for it",
    "migrate": "bring a database to this version's schema",
    "doctor": "check everything that a start needs, with a fix for each",
}
"""Every command with its line in the help; `cli/NAME.py` holds it."""


PYDANTIC: Final = "Value error, "
"""What the library puts before a complaint about a value, and says nothing to whoever wrote it."""


def new(help: str = "", **settings: Any) -> typer.Typer:
    """A typer app as all of ours are: plain help, no completion, our own errors."""
    import typer

    return typer.Typer(
        help=help,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        **settings,
    )


def run(arguments: list[str]) -> int:
    """Run the command that `arguments` name; returns its exit code."""
    name = arguments[0] if arguments else ""
    if name in ("-h", "--help", "help", ""):
        (sys.stdout if name else sys.stderr).write(_help())
        return OK if name else USAGE
    if name == "--version":
        from policylayer import __version__

        sys.stdout.write(f"{__version__}\n")
        return OK
    if name not in COMMANDS:
        help = did_you_mean(name, COMMANDS) or "policylayer --help"
        raise UsageError(f"there is no command {quote(name)}", help if "known:" not in help else "policylayer --help")
    app: typer.Typer = importlib.import_module(f"policylayer.cli.{name}").app
    return call(app, name, arguments[1:])


def call(app: typer.Typer, name: str, arguments: list[str]) -> int:
    """Call a typer app; its complaints become ours."""
    import typer

    try:
        done = app(arguments, prog_name=f"policylayer {name}", standalone_mode=False)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except typer.TyperException as error:
        note(f"policylayer: {error.format_message().replace(PYDANTIC, '').rstrip('.')}")
        where = getattr(getattr(error, "ctx", None), "command_path", f"policylayer {name}")
        note(f"  help: {where} --help")
        return error.exit_code
    return done if isinstance(done, int) else OK


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name.ljust(width)}  {about}" for name, about in COMMANDS.items()]
    return "\n".join(
        [
            "usage: policylayer COMMAND [options]      (policylayer COMMAND --help says more)",
            "",
            "A proxy that enforces policy on the tool calls of AI agents.",
            "",
            *lines,
            "",
        ]
    )
