"""The machines that `!server` makes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

TEXTS = "id group image size user address jump host_key why by network channel".split()


def upgrade() -> None:
    op.create_table(
        "machines",
        sa.Column("label", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("provider", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in ("port", "job", "warned", "is_adopted")
        ),
        sa.Column("made_at", sa.String(27), nullable=False),
        sa.Column("expires_at", sa.String(27), nullable=False, server_default=""),
        *(sa.Column(name, sa.Text, nullable=False, server_default="") for name in TEXTS),
    )
