"""The benchmark's server on standard input and output, for peers that put HTTP before such a server.

Answers every request with the bytes that `upstream.py` would answer with, and must not cost more than that.
"""

from __future__ import annotations

import sys

from benchmarks.upstream import Server


def main() -> None:
    """A line in, a line out, until the input ends."""
    server = Server()
    Server.tools = 4
    for line in sys.stdin.buffer:
        answer = server.answer(b"post ", line).partition(b"\r\n\r\n")[2]
        if answer:
            sys.stdout.buffer.write(answer + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
