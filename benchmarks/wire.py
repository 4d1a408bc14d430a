"""The bytes that both ends of a benchmark agree on: requests in both eras, and cutting HTTP messages from a stream."""

from __future__ import annotations

from dataclasses import dataclass

MODERN = "2026-07-28"
HANDSHAKE = "2025-11-25"
MARK = b"benchmark-answer"
WORDS = "The parcel arrived late and the box was open, please look into it and tell the customer. "
"""What calls are filled with: text as people write it, in which nothing looks like a secret."""


def call_body(number: int, tool: str, padding: int, era: str) -> bytes:
    """A tools/call of about `padding` bytes of arguments."""
    meta = (
        f',"_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}",'
        '"io.modelcontextprotocol/clientCapabilities":{},'
        '"io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"}}'
        if era == MODERN
        else ""
    )
    wanted = max(padding - 320, 1)
    text = (WORDS * (wanted // len(WORDS) + 1))[:wanted]
    arguments = f'{{"customer":"c-17","amount":42,"currency":"eur","tags":["a","b","c"],"note":"{text}"}}'
    return (
        f'{{"jsonrpc":"2.0","id":{number},"method":"tools/call",'
        f'"params":{{"name":"{tool}","arguments":{arguments}{meta}}}}}'
    ).encode()


def list_body(number: int, era: str) -> bytes:
    """A tools/list."""
    meta = (
        f'"_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}",'
        '"io.modelcontextprotocol/clientCapabilities":{}}'
        if era == MODERN
        else ""
    )
    return f'{{"jsonrpc":"2.0","id":{number},"method":"tools/list","params":{{{meta}}}}}'.encode()


@dataclass(slots=True)
class Cutter:
    """Cuts HTTP/1.1 messages (content-length or chunked) from a stream; enough for programs that we wrote ourselves."""

    buffer: bytearray

    def cut(self) -> tuple[bytes, bytes] | None:
        """The next (head, body), or None while it is incomplete."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head = bytes(self.buffer[:end]).lower()
        at = head.find(b"content-length:")
        if at >= 0:
            line = head[at + 15 : head.find(b"\r\n", at) if head.find(b"\r\n", at) >= 0 else len(head)]
            return self._take(head, end + 4, int(line))
        if b"transfer-encoding: chunked" in head:
            return self._chunked(head, end + 4)
        return self._take(head, end + 4, 0)

    def _take(self, head: bytes, start: int, size: int) -> tuple[bytes, bytes] | None:
        if len(self.buffer) < start + size:
            return None
        body = bytes(self.buffer[start : start + size])
        del self.buffer[: start + size]
        return head, body

    def _chunked(self, head: bytes, start: int) -> tuple[bytes, bytes] | None:
        body, at = bytearray(), start
        while True:
            line = self.buffer.find(b"\r\n", at)
            if line < 0:
                return None
            size = int(bytes(self.buffer[at:line]).split(b";")[0], 16)
            if len(self.buffer) < line + 2 + size + 2:
                return None
            body += self.buffer[line + 2 : line + 2 + size]
            at = line + 2 + size + 2
            if size == 0:
                del self.buffer[:at]
                return head, bytes(body)
