"""What was measured on hosts, what was reported of them, which are in maintenance, and what watches know."""

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
    op.create_table(
        "reports",
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("at", sa.String(27), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_index("reports_subject", "reports", ["subject", "number"])
    op.create_table(
        "maintenance",
        sa.Column("host", sa.String(255), primary_key=True),
        sa.Column("ends", sa.String(27), nullable=False),
        sa.Column("by_whom", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
    )
    op.create_table(
        "watches",
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
