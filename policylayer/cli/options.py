"""The options that several commands have. Must not know any command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ConfigOption = Annotated[
    Path | None, typer.Option("-c", "--config", metavar="FILE", help="The proxy's configuration, on its own machine.")
]
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="POLICYLAYER_URL", metavar="URL", help="The proxy, through its API.")
]
TokenOption = Annotated[
    str | None, typer.Option("--token", envvar="POLICYLAYER_TOKEN", metavar="TOKEN", help="A person's token.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object, or one per line.")]
ExpiresOption = Annotated[
    str | None,
    typer.Option("--expires", metavar="90d", help="When it ends: a duration, or an instant."),
]
