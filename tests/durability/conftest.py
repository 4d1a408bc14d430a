"""What takes hours is collected only by `scripts/soak.sh`: it is no part of a run, so nothing is skipped either."""

from __future__ import annotations

import os

collect_ignore = [] if os.environ.get("POLICYLAYER_SOAK") else ["test_soak.py"]
