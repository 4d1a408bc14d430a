"""The first schema."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = {
    "sqlite": (
        "CREATE TRIGGER records_no_update BEFORE UPDATE ON records "
        "BEGIN SELECT RAISE(ABORT, 'records are append-only'); END",
        "CREATE TRIGGER records_no_delete BEFORE DELETE ON records "
        "BEGIN SELECT RAISE(ABORT, 'records are append-only'); END",
    ),
    "postgresql": (
        "CREATE FUNCTION records_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'records are append-only'; END $$",
        "CREATE TRIGGER records_no_change BEFORE UPDATE OR DELETE ON records "
        "FOR EACH ROW EXECUTE FUNCTION records_append_only()",
        "CREATE TRIGGER records_no_truncate BEFORE TRUNCATE ON records "
        "FOR EACH STATEMENT EXECUTE FUNCTION records_append_only()",
        "CREATE TABLE records_default PARTITION OF records DEFAULT",
        "CREATE TRIGGER records_no_truncate BEFORE TRUNCATE ON records_default "
        "FOR EACH STATEMENT EXECUTE FUNCTION records_append_only()",
    ),
}


def _dialect() -> str:
    return op.get_bind().dialect.name


def _text(name: str, *, key: bool = False, null: bool = False) -> sa.Column[Any]:
    kind = sa.Text(collation="C") if _dialect() == "postgresql" else sa.Text()
    return sa.Column(name, kind, primary_key=key, nullable=null)


def _number(name: str, *, key: bool = False, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, primary_key=key, autoincrement=False, nullable=null)


def _small(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False)


def _bytes(name: str, *, null: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.LargeBinary, nullable=null)


def _index(name: str, table: str, columns: list[str], *, unique: bool = False, where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(name, table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


TABLES = (
    "records",
    "chains",
    "checkpoints",
    "approvals",
    "votes",
    "grants",
    "tokens",
    "freezes",
    "rounds",
    "waivers",
    "counters",
    "labels",
    "meta",
)


def upgrade() -> None:
    """Make everything."""
    op.create_table(
        "records",
        _text("id", key=True),
        _text("kind"),
        _number("time_us"),
        _small("version"),
        _text("parent", null=True),
        _text("principal", null=True),
        _text("on_behalf_of", null=True),
        _text("grant_id", null=True),
        _text("server", null=True),
        _text("method", null=True),
        _text("target", null=True),
        _text("effect", null=True),
        _text("enforced", null=True),
        _text("would", null=True),
        _text("reason_code", null=True),
        _text("reason", null=True),
        _text("rules", null=True),
        _text("observed", null=True),
        _text("revision", null=True),
        _text("arguments", null=True),
        _text("input", null=True),
        _text("arguments_mode", null=True),
        _text("digest", null=True),
        _text("approval_id", null=True),
        _text("session", null=True),
        _text("protocol", null=True),
        _text("client", null=True),
        _text("ip", null=True),
        _text("state", null=True),
        _text("detail", null=True),
        _number("decide_us", null=True),
        _number("record_us", null=True),
        _number("upstream_us", null=True),
        _number("size", null=True),
        _number("is_error", null=True),
        _text("result_digest", null=True),
        _text("labels", null=True),
        _text("charges", null=True),
        _text("redeemed", null=True),
        _text("chain"),
        _number("seq"),
        _text("key_id"),
        _bytes("link"),
        postgresql_partition_by="RANGE (id)",
    )
    _index("records_approval_id", "records", ["approval_id", "id"], where="approval_id IS NOT NULL")
    _index("records_charges", "records", ["id"], where="charges IS NOT NULL")
    _index("records_events", "records", ["id"], where="kind = 'event'")
    _index("records_effect", "records", ["effect", "id"], where="effect <> 'allow'")
    _index("records_method", "records", ["method", "id"], where="method <> 'tools/call'")
    _index("records_parent", "records", ["parent"], where="parent IS NOT NULL")
    _index("records_principal", "records", ["principal", "id"], where="principal IS NOT NULL")
    _index("records_reason_code", "records", ["reason_code", "id"], where="reason_code <> 'rule'")
    _index("records_server", "records", ["server", "id"], where="server IS NOT NULL")
    _index("records_target", "records", ["target", "id"], where="target IS NOT NULL")
    if _dialect() == "sqlite":
        _index("records_chain", "records", ["chain", "seq"], unique=True)
    else:
        _index("records_place", "records", ["chain", "seq"])
    op.create_table(
        "chains",
        _text("id", key=True),
        _text("program"),
        _text("version"),
        _text("host"),
        _number("pid"),
        _text("life"),
        _number("opened_us"),
        _text("settled_id", null=True),
        _number("closed_us", null=True),
    )
    op.create_table(
        "checkpoints",
        _text("id", key=True),
        _number("time_us"),
        _text("key_id"),
        _text("heads"),
        _text("public_key"),
        _text("signature"),
    )
    op.create_table(
        "approvals",
        _text("id", key=True),
        _text("call_key"),
        _text("state"),
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
        _text("digest"),
        _text("arguments", null=True),
        _bytes("arguments_sealed", null=True),
        _text("rules"),
        _text("satisfied"),
        _text("reason", null=True),
        _text("revision"),
        _text("record_id", null=True),
        _number("round", null=True),
        _text("session", null=True),
        _text("client", null=True),
        _text("ip", null=True),
        _text("consumed_by", null=True),
        _number("consumed_us", null=True),
    )
    _index("approvals_call_key", "approvals", ["call_key", "created_us"])
    _index("approvals_live", "approvals", ["call_key"], unique=True, where="state IN ('pending', 'approved')")
    _index("approvals_state", "approvals", ["state", "expires_us"])
    op.create_table(
        "votes",
        _text("id", key=True),
        _text("approval_id"),
        _text("principal"),
        _text("token_id", null=True),
        _text("decision"),
        _text("note", null=True),
        _text("rules"),
        _number("time_us"),
    )
    _index("votes_one_each", "votes", ["approval_id", "principal"], unique=True)
    op.create_table(
        "grants",
        _text("id", key=True),
        _text("name"),
        _text("principal"),
        _text("servers"),
        _text("prefix"),
        _bytes("token_hash"),
        _number("created_us"),
        _text("created_by", null=True),
        _number("expires_us", null=True),
        _number("revoked_us", null=True),
        _text("revoked_by", null=True),
        _text("previous_prefix", null=True),
        _bytes("previous_hash", null=True),
        _number("previous_until_us", null=True),
        _number("used_us", null=True),
    )
    _index("grants_name", "grants", ["name"], unique=True, where="revoked_us IS NULL")
    _index("grants_prefix", "grants", ["prefix"], unique=True)
    _index("grants_previous_prefix", "grants", ["previous_prefix"], unique=True)
    op.create_table(
        "tokens",
        _text("id", key=True),
        _text("principal"),
        _text("role"),
        _text("prefix"),
        _bytes("token_hash"),
        _number("created_us"),
        _text("created_by", null=True),
        _number("expires_us", null=True),
        _number("revoked_us", null=True),
        _text("revoked_by", null=True),
        _number("used_us", null=True),
    )
    _index("tokens_prefix", "tokens", ["prefix"], unique=True)
    op.create_table(
        "freezes",
        _text("id", key=True),
        _text("scope"),
        _text("name", null=True),
        _text("reason"),
        _number("created_us"),
        _text("created_by", null=True),
        _number("thawed_us", null=True),
        _text("thawed_by", null=True),
    )
    op.create_table(
        "rounds",
        _text("nonce", key=True),
        _text("parent"),
        _number("number"),
        _text("record_id"),
        _number("redeemed_us"),
    )
    _index("rounds_redeemed", "rounds", ["redeemed_us"])
    op.create_table(
        "waivers",
        _text("id", key=True),
        _text("approval_id"),
        _text("rule"),
        _text("scope"),
        _number("uses_left"),
        _number("created_us"),
        _text("created_by"),
        _number("expires_us"),
        _number("revoked_us", null=True),
        _text("revoked_by", null=True),
    )
    _index("waivers_rule", "waivers", ["rule", "expires_us"])
    op.create_table(
        "counters",
        _text("counter", key=True),
        _text("key", key=True),
        _number("bucket_us", key=True),
        _text("amount"),
        _number("expires_us"),
    )
    _index("counters_expires", "counters", ["expires_us"])
    op.create_table(
        "labels",
        _text("grant_id", key=True),
        _text("label", key=True),
        _text("record_id"),
        _number("set_us"),
        _number("until_us"),
    )
    op.create_table(
        "meta",
        _text("name", key=True),
        _text("value"),
    )
    for statement in APPEND_ONLY[_dialect()]:
        op.execute(statement)


def downgrade() -> None:
    """Drop everything."""
    for table in reversed(TABLES):
        op.drop_table(table)
    if _dialect() == "postgresql":
        op.execute("DROP FUNCTION records_append_only()")
