"""The record takes the next number only: an INSERT OR REPLACE got past the triggers that refuse changes."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

NEXT = "(SELECT coalesce(max(seq), 0) + 1 FROM record)"
NEXT_ONLY = {  # by dialect
    "sqlite": [
        f"CREATE TRIGGER record_no_INSERT BEFORE INSERT ON record WHEN NEW.seq <> {NEXT} "
        "BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END"
    ],
    "postgresql": [
        "CREATE FUNCTION record_next_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN IF NEW.seq <> {NEXT} THEN RAISE EXCEPTION 'the record is append-only'; END IF; "
        "RETURN NEW; END $$",
        "CREATE TRIGGER record_no_insert BEFORE INSERT ON record "
        "FOR EACH ROW EXECUTE FUNCTION record_next_only()",
    ],
}


def upgrade() -> None:
    for statement in NEXT_ONLY[op.get_bind().dialect.name]:
        op.execute(statement)
