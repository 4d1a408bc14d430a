"""What the service's own configuration file may say: strict YAML in, frozen values or all problems at once out.

Read in this order: `model` (the values), `load` (the file), `sections` and `servers` (its parts), `fields` and `values`
(how one field is read). Must not know who uses a value (`app.py`).
"""

from policylayer.config.load import ConfigProblems, Read, load, read
from policylayer.config.model import Config, Server

__all__ = ["Config", "ConfigProblems", "Read", "Server", "load", "read"]
