"""Keep what each gate and question asks, so that a decision counts for what was decided.

Revision: 0004.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the table; what was asked before has no row, and is compared by the text in its approval or question."""
    op.create_table(
        "_smithers_nb_requests",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("node_id", sa.Text(), nullable=False),
        sa.Column("iteration", sa.BigInteger(), nullable=False, autoincrement=False, server_default="0"),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("asked_json", sa.Text(), nullable=False),
        sa.Column("earlier_json", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["_smithers_runs.run_id"]),
        sa.PrimaryKeyConstraint("run_id", "node_id", "iteration"),
    )
