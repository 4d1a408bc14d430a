"""How much one agent, session or server may take of the proxy, and how long things may last: one place, all of it.

Knows nothing of what it bounds. Sizes are bytes, times are seconds. What bounds a server is `upstream.settings.Limits`.
"""

from __future__ import annotations

from typing import Final

from policylayer.core.immutable import immutable
from policylayer.wire import limits as wire


@immutable
class Limits:
    """What the data path applies.

    `hold` bounds one held POST of a handshake client, `hold_modern` one chain of rounds; `poll` one held POST of a
    modern client, `last_poll` the round after which it is told to call again (clients stop at 10). `beat` is how often
    a held client hears something, `ping` how often an idle stream does, `recheck` how often an open stream's right to
    be open is asked for again; `cancelled` is how long a server may still answer what its client has cancelled. `held`
    are bytes of large requests under way, and of large answers not read yet. `questions` are those of one server on one
    stream, pings aside, `questions_a_minute` all those in one session, `asked` those of one message, `rounds` how often
    one call, or one task, may ask. `dropped_a_minute` are events of one stream that nobody gets; comments are none.
    `task_bytes` are of the requests that made tasks; what ends in `_each` is one principal's share.
    """

    message: wire.Limits = wire.DEFAULT
    server_message: wire.Limits = wire.SERVER
    body_timeout: float = 30.0
    calls: int = 1_000
    held: int = 256 * 1024 * 1024
    held_each: int = 64 * 1024 * 1024

    answer: int = 16 * 1024 * 1024
    event: int = 16 * 1024 * 1024
    linger: float = 1.0
    resume: float = 300.0
    cancelled: float = 1.0

    hold: float = 30.0
    hold_modern: float = 240.0
    poll: float = 25.0
    last_poll: int = 7
    beat: float = 5.0
    ping: float = 15.0
    recheck: float = 1.0

    sessions: int = 10_000
    sessions_per_owner: int = 1_000
    session_idle: float = 3600.0
    outstanding: int = 256
    questions: int = 256
    questions_a_minute: int = 100
    dropped_a_minute: int = 6_000
    remembered: int = 1024
    streams_per_owner: int = 256

    rounds: int = 32
    round_life: float = 3600.0
    asked: int = 32

    listed: int = 20_000
    tool_pages: int = 100
    tools: int = 10_000
    list_timeout: float = 5.0
    list_again: float = 30.0

    tasks: int = 10_000
    tasks_each: int = 1_000
    task_bytes: int = 32 * 1024 * 1024
    task_bytes_each: int = 4 * 1024 * 1024
    task_life: float = 24 * 3600.0


DEFAULT: Final = Limits()
