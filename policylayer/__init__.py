"""policylayer: a proxy that enforces policy on the tool calls of AI agents.

This file knows only the version. `docs/architecture.md` gives the reading order; `app.py` is the composition root.
"""

__version__ = "0.1.0"
