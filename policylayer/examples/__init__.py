"""Servers to try policylayer with: `policylayer demo` starts one. No part of the proxy; nothing of it imports these."""
