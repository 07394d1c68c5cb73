"""What was measured on hosts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "series",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("measure", sa.Text, nullable=False),
    )
    op.create_index("series_name", "series", ["host", "measure"], unique=True)
    op.create_table(
        "samples",
        sa.Column("series", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("number", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("low", "mean", "high")),
        sqlite_with_rowid=False,
    )
