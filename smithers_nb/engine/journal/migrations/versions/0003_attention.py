"""Remember what people put aside: failures that were addressed, and what was snoozed until later.

Revision: 0003.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the table; rows are only ever added to it."""
    op.create_table(
        "_smithers_nb_attention",
        sa.Column("store", sa.Text(), primary_key=True),
        sa.Column("run_id", sa.Text(), primary_key=True),
        sa.Column("marked_at_ms", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("marked_by", sa.Text(), nullable=False),
        sa.Column("until_ms", sa.BigInteger()),
        sa.Column("note", sa.Text()),
    )
