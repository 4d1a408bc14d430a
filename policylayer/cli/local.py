"""The API's questions answered by the proxy's own database, as `reach.py` needs it: a second writer beside `serve`.

Must not know any route. The running proxy notices what is written here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from policylayer.api.endpoint import Api
from policylayer.api.problem import Problem
from policylayer.api.table import ROUTES
from policylayer.backstage import Backstage, base_url, services
from policylayer.cli.exits import CommandError, UsageError
from policylayer.cli.loading import loading
from policylayer.cli.local_policies import LocalPolicies
from policylayer.cli.output import note
from policylayer.cli.reach import VOTES, problem, user
from policylayer.config import load
from policylayer.core.errors import AuditUnavailable
from policylayer.identity.person import Person, Role
from policylayer.store.viewing import SQLITE, is_there

MAKERS: Final = ("grant create", "token create", "demo")
"""Who may find no database, and makes one: what comes before the first `serve`. To others it is a mistyped name."""


READERS: Final = ("reload", "explain")
"""Who is about the policies themselves. Others work without: a folder that is gone keeps nobody from a freeze."""


class Local:
    """The state behind one configuration."""

    def __init__(self, config: Path, token: str | None, program: str) -> None:
        self._config = load(config, policies=program in READERS)
        self._token = token
        self.url = base_url(self._config)
        self._policies = LocalPolicies(self._config)
        makes = program in MAKERS
        self._made = makes and program != "demo" and not is_there(self._config.database)
        self._backstage = Backstage(self._config, program, self._policies.current, makes)
        self._policies.store = self._backstage.store
        self._services = services(self._backstage, self._policies, self.url)
        self._api = Api(self._services, ROUTES)
        self._runner = asyncio.Runner()

    def __enter__(self) -> Local:
        self._runner.__enter__()
        try:
            self._runner.run(self._backstage.start())
        except BaseException:
            self._runner.close()
            raise
        if self._made:
            note(f"There was no database `{self._config.database.removeprefix(SQLITE)}`: it was made.")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        interrupted = kind is not None and issubclass(kind, KeyboardInterrupt)
        with loading() if interrupted else nullcontext():
            try:
                self._runner.run(self._backstage.close())
            finally:
                self._runner.close()

    def ask(
        self, method: str, path: str, query: Mapping[str, str] | None = None, body: Mapping[str, Any] | None = None
    ) -> Any:
        """The JSON that the route answers."""
        try:
            return self._runner.run(self._ask(method, path, query, body))
        except Problem as told:
            raise problem({"detail": told.detail, "code": told.code, **told.extra}, told.status) from None
        except AuditUnavailable as failure:
            raise CommandError(f"the database does not answer: {failure.message}", failure.help) from None

    async def _ask(self, method: str, path: str, query: Mapping[str, str] | None, body: Any) -> Any:
        return await self._api.ask(await self._person(path), method, path, query, body)

    async def _person(self, path: str) -> Person:
        if not path.endswith(VOTES):
            return Person(user(), Role.ADMIN, "local")
        if not self._token:
            raise UsageError(
                "approving and denying need an approver's token",
                "give --token; `policylayer token create --role approver --principal user:NAME -c FILE` makes one",
            )
        person = await self._services.authenticator.person(f"Bearer {self._token}".encode())
        if person is None:
            raise CommandError("nobody holds this token", "copy it whole, as `policylayer token create` showed it")
        return person
