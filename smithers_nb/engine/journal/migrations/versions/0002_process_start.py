"""Remember when a worker's process was started: a pid is given out again, by a restarted container at once.

Revision: 0002.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column; a worker registered before has none, and its heartbeat decides."""
    op.add_column("_smithers_nb_workers", sa.Column("process_start", sa.BigInteger()))
