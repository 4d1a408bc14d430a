"""fastmcp's proxy as its documentation makes it: `fastmcp_proxy.py URL PORT`, run by the Python that has fastmcp."""

from __future__ import annotations

import sys

from fastmcp.server import create_proxy  # type: ignore[import-not-found]

if __name__ == "__main__":
    proxy = create_proxy(sys.argv[1], name="bench")
    proxy.run(transport="http", host="127.0.0.1", port=int(sys.argv[2]), show_banner=False, log_level="ERROR")
