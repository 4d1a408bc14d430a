"""`policylayer demo`: an example server, the proxy and a scripted agent, to look at and to play with.

Makes a folder with a configuration, the shop's example policies and a database, then runs all of it until Ctrl-C. What
happens then is in `demo_run.py`.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Final

import typer

from policylayer.cli.application import new
from policylayer.cli.exits import CommandError
from policylayer.cli.loading import loading
from policylayer.cli.output import say

app = new("Run an example server, the proxy and a scripted agent, to look at.")

PACKAGE: Final = Path(__file__).resolve().parents[1]

CONFIG: Final = """\
# Written anew by each `policylayer demo`. The policies beside it are yours to change: the proxy notices.
listen: 127.0.0.1:{port}
database: sqlite:///policylayer.db
policies: ./policies
keys: {{file: ./policylayer.key}}
servers:
  shop: {{url: "{shop}", cwd: /shop}}
approvals: {{hold: 30s, hold_modern: 4m, expires: 1h}}
"""


@app.command()
def demo(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Where the proxy listens; 0: any.")] = 8080,
    folder: Annotated[Path | None, typer.Option("--dir", metavar="DIR", help="Default: ./.demo")] = None,
) -> None:
    """Run an example server, the proxy and a scripted agent; keep serving until Ctrl-C."""
    home = _home(folder)
    _policies(home / "policies")
    say(f"policylayer demo, in `{home}` (starting the shop and the proxy…)")
    with loading():
        from policylayer.cli.demo_run import run

    raise typer.Exit(run(home, port, CONFIG))


def _home(folder: Path | None) -> Path:
    """The demo's folder: as asked, else `.demo` here, else one that lasts as long as the machine is up."""
    wanted = folder or Path(".demo")
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        if os.access(wanted, os.W_OK | os.X_OK):
            return wanted
    except OSError as error:
        if folder is not None:
            why = (error.strerror or "failed").lower()
            raise CommandError(f"cannot make `{folder}`: {why}", "choose another --dir") from None
    if folder is not None:
        raise CommandError(f"`{folder}` cannot be written", "choose another --dir")
    return Path(tempfile.mkdtemp(prefix="policylayer-demo-"))


def _policies(target: Path) -> None:
    """The shop's example policies, unless there are some already."""
    if target.exists():
        return
    packaged = PACKAGE / "_policies"
    source = (packaged if packaged.exists() else PACKAGE.parent / "policies") / "shop"
    if not source.is_dir():
        raise CommandError("the example policies are not installed", "install policylayer again, or use a checkout")
    shutil.copytree(source, target)
