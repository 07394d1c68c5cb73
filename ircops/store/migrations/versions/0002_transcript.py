"""What was said in the channels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "transcript",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        _text("nick"),
        _text("account"),
        sa.Column("kind", sa.Text, nullable=False),
        _text("text"),
        sa.Column("is_ours", sa.Integer, nullable=False),
        sa.Column("message_id", sa.Text),
    )
    op.create_index("transcript_at", "transcript", ["at"])
    op.create_index("transcript_place", "transcript", ["network", "channel", "at"])
    op.create_index(
        "transcript_message", "transcript", ["network", "channel", "message_id"], unique=True
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, server_default="")
