"""The tables, once, for both databases. Must not know who reads or writes them; triggers and stamps are in `schema.py`.

Times are microseconds since 1970; ids are UUIDv7 in text, so they sort by time; JSON is text (jsonb refuses U+0000);
truth values are 0 and 1. `records` and `chains` are the decision log: triggers refuse to change or delete a record.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    event,
    literal_column,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

metadata: Final = MetaData()

WHERE: Final = "where"
"""Where a partial index keeps its condition."""

USUAL: Final = {"effect": "allow", "reason_code": "rule", "method": "tools/call"}
"""What most rows hold, and the index of the column leaves out."""


def _text(name: str, *, key: bool = False, null: bool = False) -> Column[Any]:
    """Text that both databases sort by code point, so that keyset pages agree."""
    plain = Text().with_variant(Text(collation="C"), "postgresql")
    return Column(name, plain, primary_key=key, nullable=null and not key)


def _number(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=null)


def _bytes(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, LargeBinary, nullable=null)


def _partial(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index of some rows. `put_into_words` tells SQLAlchemy, since naming a database here would load both."""
    return Index(name, *columns, unique=unique, info={WHERE: text(where)})


@event.listens_for(metadata, "before_create")
def put_into_words(_: MetaData, connection: Connection, **_more: Any) -> None:
    """Give the schema what only SQLite or only PostgreSQL has words for, before it is made there."""
    database = connection.dialect.name
    for table in metadata.tables.values():
        for index in table.indexes:
            if WHERE in index.info:
                index.dialect_options[database]["where"] = index.info[WHERE]
    if database == "postgresql":
        records.dialect_options[database]["partition_by"] = "RANGE (id)"


records: Final = Table(
    "records",
    metadata,
    _text("id", key=True),
    _text("kind"),  # decision, round, release, outcome, event
    _number("time_us"),
    Column("version", Integer, nullable=False),  # of the row's form, as the chain reads it
    _text("parent", null=True),  # release, round: the row before it; outcome: the row it ends
    _text("principal", null=True),
    _text("on_behalf_of", null=True),
    _text("grant_id", null=True),
    _text("server", null=True),
    _text("method", null=True),
    _text("target", null=True),
    _text("effect", null=True),
    _text("enforced", null=True),
    _text("would", null=True),
    _text("reason_code", null=True),  # of an event: its type
    _text("reason", null=True),
    _text("rules", null=True),  # [{policy, rule, file, line}]
    _text("observed", null=True),  # the same, of files in observe mode
    _text("revision", null=True),
    _text("arguments", null=True),  # as configured; JSON on one line
    _text("input", null=True),  # the responses of a later round, kept like the arguments
    _text("arguments_mode", null=True),
    _text("digest", null=True),  # keyed
    _text("approval_id", null=True),
    _text("session", null=True),
    _text("protocol", null=True),
    _text("client", null=True),
    _text("ip", null=True),
    _text("state", null=True),  # of an outcome
    _text("detail", null=True),  # what the other columns have no place for; of an event: all of it
    _number("decide_us", null=True),
    _number("record_us", null=True),
    _number("upstream_us", null=True),
    _number("size", null=True),
    _number("is_error", null=True),
    _text("result_digest", null=True),  # keyed
    _text("labels", null=True),  # that the grant carried
    _text("charges", null=True),  # [{counter, key, amount}]
    _text("redeemed", null=True),  # the round's nonce
    _text("chain"),  # whose writer
    _number("seq"),  # in its chain, from 1, without gaps
    _text("key_id"),
    _bytes("link"),
    Index("records_chain", "chain", "seq", unique=True).ddl_if(dialect="sqlite"),
    Index("records_place", "chain", "seq").ddl_if(dialect="postgresql"),  # unique ones must hold the partition's key
    _partial("records_parent", "parent", where="parent IS NOT NULL"),
    *(
        _partial(f"records_{name}", name, "id", where=where)
        for name, where in (
            ("principal", "principal IS NOT NULL"),
            ("server", "server IS NOT NULL"),
            ("target", "target IS NOT NULL"),
            ("approval_id", "approval_id IS NOT NULL"),
            *((name, f"{name} <> '{usual}'") for name, usual in USUAL.items()),
        )
    ),
    *(
        _partial(f"records_{name}", "id", where=where)
        for name, where in (("charges", "charges IS NOT NULL"), ("events", "kind = 'event'"))
    ),
)
"""The decision log. The last four columns are the writer's; the link covers all others."""


def is_event() -> ColumnElement[bool]:
    """Rows that are events; written so that SQLite sees that the index has them all."""
    return records.c.kind == literal_column("'event'")


def equals(name: str, *values: str) -> list[ColumnElement[bool]]:
    """Rows whose column holds one of these; where none is usual, so that SQLite sees that the index has them."""
    found = [records.c[name] == values[0] if len(values) == 1 else records.c[name].in_(values)]
    if USUAL.get(name) not in (None, *values):
        found.append(records.c[name] != literal_column(f"'{USUAL[name]}'"))
    return found


class Strpos(GenericFunction[int]):
    """Where a text begins in another, from 1; 0: nowhere. The name is PostgreSQL's."""

    name = "strpos"
    inherit_cache = True


@compiles(Strpos, "sqlite")
def _instr(function: Strpos, compiler: SQLCompiler, **more: Any) -> str:
    return f"instr{compiler.process(function.clause_expr, **more)}"


def holds(column: ColumnElement[Any], part: str) -> ColumnElement[bool]:
    """Rows whose column holds this text, letter by letter; LIKE takes no notice of case on SQLite."""
    return Strpos(column, part) > 0


chains: Final = Table(
    "chains",
    metadata,
    _text("id", key=True),
    _text("program"),  # serve, or the command
    _text("version"),  # of policylayer
    _text("host"),
    _number("pid"),
    _text("life"),  # of the process: whose lock, on PostgreSQL, says that it lives
    _number("opened_us"),
    _text("settled_id", null=True),  # no row of it up to here lacks its outcome
    _number("closed_us", null=True),
)
"""One row for each connection that ever wrote; a hint for settling what a crash left, never evidence."""

checkpoints: Final = Table(
    "checkpoints",
    metadata,
    _text("id", key=True),
    _number("time_us"),
    _text("key_id"),
    _text("heads"),  # {chain: [seq, link]}
    _text("public_key"),
    _text("signature"),
)

approvals: Final = Table(
    "approvals",
    metadata,
    _text("id", key=True),
    _text("call_key"),  # keyed digest of principal, on_behalf_of, server, method, target and digest
    _text("state"),  # core.approval.State
    _number("created_us"),
    _number("expires_us"),
    _number("decided_us", null=True),
    _text("decided_by", null=True),
    _text("note", null=True),
    _text("principal"),
    _text("on_behalf_of", null=True),
    _text("grant_id", null=True),
    _text("server"),
    _text("method"),
    _text("target", null=True),
    _text("digest"),  # keyed, as in records
    _text("arguments", null=True),  # the redacted view
    _bytes("arguments_sealed", null=True),  # what an approver sees; erased when the approval is over
    _text("rules"),  # [{policy, rule, file, line, approvers, quorum, expires, note_required, each_round}]
    _text("satisfied"),  # names of hold rules that earlier approvals of this call satisfied
    _text("reason", null=True),
    _text("revision"),
    _text("record_id", null=True),  # the row that opened it
    _number("round", null=True),  # of a later round: its number
    _text("session", null=True),
    _text("client", null=True),
    _text("ip", null=True),
    _text("consumed_by", null=True),  # the row that used it up
    _number("consumed_us", null=True),
    _partial("approvals_live", "call_key", where="state IN ('pending', 'approved')", unique=True),
    Index("approvals_call_key", "call_key", "created_us"),
    Index("approvals_state", "state", "expires_us"),
)

votes: Final = Table(
    "votes",
    metadata,
    _text("id", key=True),
    _text("approval_id"),
    _text("principal"),
    _text("token_id", null=True),
    _text("decision"),  # approve, deny
    _text("note", null=True),
    _text("rules"),  # names of the hold rules that it counts for
    _number("time_us"),
    Index("votes_one_each", "approval_id", "principal", unique=True),
)

grants: Final = Table(
    "grants",
    metadata,
    _text("id", key=True),
    _text("name"),
    _text("principal"),
    _text("servers"),  # a list of names
    _text("prefix"),
    _bytes("token_hash"),  # SHA-256
    _number("created_us"),
    _text("created_by", null=True),
    _number("expires_us", null=True),
    _number("revoked_us", null=True),
    _text("revoked_by", null=True),
    _text("previous_prefix", null=True),  # the token before the last rotation, while both are good
    _bytes("previous_hash", null=True),
    _number("previous_until_us", null=True),
    _number("used_us", null=True),  # last use, give or take a minute
    Index("grants_prefix", "prefix", unique=True),
    Index("grants_previous_prefix", "previous_prefix", unique=True),
    _partial("grants_name", "name", where="revoked_us IS NULL", unique=True),
)

tokens: Final = Table(
    "tokens",
    metadata,
    _text("id", key=True),
    _text("principal"),
    _text("role"),  # viewer, approver, operator, admin
    _text("prefix"),
    _bytes("token_hash"),
    _number("created_us"),
    _text("created_by", null=True),
    _number("expires_us", null=True),
    _number("revoked_us", null=True),
    _text("revoked_by", null=True),
    _number("used_us", null=True),
    Index("tokens_prefix", "prefix", unique=True),
)

freezes: Final = Table(
    "freezes",
    metadata,
    _text("id", key=True),
    _text("scope"),  # all, principal, server
    _text("name", null=True),
    _text("reason"),
    _number("created_us"),
    _text("created_by", null=True),
    _number("thawed_us", null=True),
    _text("thawed_by", null=True),
)

rounds: Final = Table(
    "rounds",
    metadata,
    _text("nonce", key=True),  # redeemed once
    _text("parent"),
    _number("number"),
    _text("record_id"),
    _number("redeemed_us"),
    Index("rounds_redeemed", "redeemed_us"),
)

waivers: Final = Table(
    "waivers",
    metadata,
    _text("id", key=True),
    _text("approval_id"),
    _text("rule"),
    _text("scope"),  # which calls it covers
    _number("uses_left"),
    _number("created_us"),
    _text("created_by"),
    _number("expires_us"),
    _number("revoked_us", null=True),
    _text("revoked_by", null=True),
    Index("waivers_rule", "rule", "expires_us"),
)

counters: Final = Table(
    "counters",
    metadata,
    _text("counter", key=True),  # policy/limit, or policy/rule#n
    _text("key", key=True),
    Column("bucket_us", BigInteger, primary_key=True, autoincrement=False),
    _text("amount"),  # decimal digits
    _number("expires_us"),
    Index("counters_expires", "expires_us"),
)

labels: Final = Table(
    "labels",
    metadata,
    _text("grant_id", key=True),
    _text("label", key=True),
    _text("record_id"),  # the row that set it
    _number("set_us"),
    _number("until_us"),
)

meta: Final = Table(
    "meta",
    metadata,
    _text("name", key=True),
    _text("value"),
)
