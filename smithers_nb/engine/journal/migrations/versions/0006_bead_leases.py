"""Leases of work items: who holds one until when.

Revision: 0006.
"""

from __future__ import annotations

from alembic import op

from smithers_nb.engine.journal import work_items

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table of leases."""
    work_items.bead_leases.create(op.get_bind())
