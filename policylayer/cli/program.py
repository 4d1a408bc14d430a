"""How this program is called from elsewhere: by its name where a shell finds it, else by where it is.

Must not know who calls it.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

NAME = "policylayer"


def own_command() -> tuple[str, ...]:
    """What a client's configuration is to launch."""
    if shutil.which(NAME) is not None:
        return (NAME,)
    beside = Path(sys.executable).with_name(NAME)
    return (str(beside),) if beside.is_file() else (sys.executable, "-m", NAME)
