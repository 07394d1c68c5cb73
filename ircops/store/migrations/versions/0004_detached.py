"""What runs on hosts without us."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "detached",
        sa.Column("word", sa.String(32), primary_key=True),
        sa.Column("call", sa.Integer, nullable=False),
        sa.Column("hosts", sa.Text, nullable=False),
        sa.Column("ends_at", sa.String(27), nullable=False, server_default=""),
    )
