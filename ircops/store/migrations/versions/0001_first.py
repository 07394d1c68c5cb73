"""The record, which can only grow; counters; what is known of schedules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# The words of 2026: a migration stays as it is when schema.py goes on.
TIME = sa.String(27)

APPEND_ONLY = {  # by dialect, for triggers have no common language
    "sqlite": [
        f"CREATE TRIGGER record_no_{verb} BEFORE {verb} ON record "
        "BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE FUNCTION record_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the record is append-only'; END $$",
        *(
            f"CREATE TRIGGER record_no_{verb} BEFORE {verb} ON record "
            "FOR EACH STATEMENT EXECUTE FUNCTION record_append_only()"
            for verb in ("UPDATE", "DELETE", "TRUNCATE")
        ),
    ],
}


def upgrade() -> None:
    op.create_table(
        "record",
        sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("call", sa.Integer),
        sa.Column("at", TIME, nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        _text("door"),
        _text("network"),
        _text("channel"),
        _text("user"),
        _text("role"),
        _text("account"),
        _text("evidence"),
        _text("mask"),
        _text("message_id"),
        _text("line"),
        _text("command"),
        _text("hosts"),
        _text("approvers"),
        _text("outcome"),
        sa.Column("exit_code", sa.Integer),
        sa.Column("milliseconds", sa.Integer),
        sa.Column("lines", sa.Integer),
        _text("digest"),
        _text("previous"),
        sa.Column("hash", sa.String(64), nullable=False),
    )
    op.create_index("record_call", "record", ["call"])
    op.create_index("record_at", "record", ["at"])
    for trigger in APPEND_ONLY[op.get_bind().dialect.name]:
        op.execute(trigger)

    counters = op.create_table(
        "counters",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("value", sa.Integer, nullable=False),
    )
    op.bulk_insert(counters, [{"name": "call", "value": 0}])

    op.create_table(
        "schedules",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("seen_at", TIME, nullable=False),
        sa.Column("last_run_at", TIME),
        sa.Column("paused_at", TIME),
        _text("paused_by"),
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")
