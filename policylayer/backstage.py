"""What commands on the proxy's machine share with `serve`: keys, database, log, identity, approvals, freezes, limits.

The lower half of the composition root (`app.py` is the upper one, and adds policies, servers, the data path and the
API's port). Must not know agents, HTTP or any command.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Connection

from policylayer import __version__, freezes
from policylayer.api.services import Facts, Policies, Services
from policylayer.approvals.approvals import Approvals
from policylayer.approvals.opening import Opening
from policylayer.approvals.voters import Directory
from policylayer.audit.context import Keeping, ToolModes
from policylayer.audit.hooks import Held, Hooks
from policylayer.audit.recorder import Recorder
from policylayer.clock import Clock
from policylayer.config import Config
from policylayer.config.facts import facts_of
from policylayer.identity.authenticator import Authenticator
from policylayer.keys import Keys
from policylayer.labels import Labels
from policylayer.limits.limits import Limits
from policylayer.limits.steady import Steady
from policylayer.store.followed import Together
from policylayer.store.rows import Row
from policylayer.store.store import Add, Program, Store, open_store
from policylayer.store.viewing import is_there, nothing_there, open_view, remembered_key

SERVE: Final = "serve"


class Backstage:
    """The parts, begun and ended in order. `directory` is the active policy set, asked only when someone votes.

    Where it is not one that `makes`, a database that is not there is said, not made: a name may be mistyped.
    """

    def __init__(self, config: Config, program: str, directory: Callable[[], Directory], makes: bool = True) -> None:
        self.config = config
        self._makes = makes
        if not makes and not is_there(config.database):
            raise nothing_there(config.database)
        self.clock = Clock()
        # A key is made for a fresh file only: another one would be of no use to a database that was begun with its own.
        fresh = makes and config.database.startswith("sqlite:") and remembered_key(config.database) is None
        self.keys = Keys.load(config.keys.files, config.keys.value, fresh, config.keys.variable)
        name = SERVE if program == SERVE else f"policylayer {program}"
        self.store: Store = open_store(config.database, self.keys, self.clock, Program(name, __version__))
        self.recorder = Recorder(self.store, self.keys, self.clock, _keeping(config))
        self.authenticator = Authenticator(self.store, self.clock, config.local_principal)
        self.approvals = Approvals(
            self.store, self.keys, self.clock, directory, self.recorder.make_event, config.approvals.expires
        )
        self.freezes = freezes.Freezes(self.store)
        steady = Steady(self.clock)
        self.limits = Limits(self.store, steady, self.keys)
        self.labels = Labels(self.store, steady, config.session_window)
        self.current = Together([self.freezes.followed, self.labels.followed])
        self.recorder.hooks = Hooks(
            open_or_join=self._open_or_join,
            consume=self.approvals.consume,
            redeem=self.approvals.redeem,
            charge=self.limits.charge,
            exceeded=self.limits.exceeded,
            give_back=self.limits.give_back,
            labels=self.labels,
        )
        self.freezing = freezes.Desk(
            self.store, self.clock, self.make_event, lambda *frozen: self.approvals.cancel_for_freeze(*frozen)
        )

    async def start(self) -> None:
        """Open the database: made, checked or refused there."""
        if not self._makes:
            view = await open_view(self.config.database)
            await view.close()
        await self.store.start()

    async def close(self) -> None:
        """Finish what waits, and close it."""
        await self.store.close()

    def make_event(self, type: str, actor: str, detail: Mapping[str, Any]) -> Row:
        """An event's row, for whoever writes it in a transaction of their own."""
        return self.recorder.make_event(type, actor, detail)

    def _open_or_join(self, connection: Connection, add: Add, held: Held) -> str:
        """What the decision log says of a held call, as approvals want it."""
        return self.approvals.open_or_join(
            connection, add, Opening(**{f.name: getattr(held, f.name) for f in fields(held)})
        )


def _keeping(config: Config) -> Keeping:
    servers = {server.name: server.arguments for server in config.servers}
    tools = {
        server.name: ToolModes(server.arguments, server.tools, [each.tool for each in server.unwrap])
        for server in config.servers
        if server.tools
    }
    return Keeping(config.audit.arguments, servers, config.audit.secret_keys, tools)


def services(backstage: Backstage, policies: Policies, base_url: str) -> Services:
    """The API's services over a backstage."""
    config = backstage.config
    return Services(
        store=backstage.store,
        clock=backstage.clock,
        authenticator=backstage.authenticator,
        approvals=backstage.approvals,
        freezing=backstage.freezing,
        policies=policies,
        facts=Facts(
            version=__version__,
            base_url=base_url,
            servers=frozenset(server.name for server in config.servers),
            known=facts_of(config),
            behind_proxy=bool(config.behind_proxy),
            local_principal=config.local_principal,
        ),
    )


def base_url(config: Config) -> str:
    """Where clients reach the proxy, as far as the configuration says."""
    listen = config.listen
    host = f"[{listen.host}]" if ":" in listen.host else listen.host
    return config.public_url or f"{'https' if config.tls else 'http'}://{host}:{listen.port}"
