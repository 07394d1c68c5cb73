"""The plan that consent was given to, on the record; calls that wait for it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("record", sa.Column("plan", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "unanswered",
        sa.Column("call", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("ends_at", sa.String(27), nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False, server_default="")
            for name in ("network", "channel", "name", "account", "mask", "evidence", "line")
        ),
    )
