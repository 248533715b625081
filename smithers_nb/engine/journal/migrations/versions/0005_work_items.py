"""Tables of the ledger of work items, and the triggers that let no status change without its event and no failure without its reason.

Revision: 0005.
"""

from __future__ import annotations

from alembic import op

from smithers_nb.engine.journal import constraints, work_items

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the tables with their indexes, as they are declared, and the triggers."""
    bind = op.get_bind()
    for table in work_items.TABLES:
        table.create(bind)
    for statement in constraints.LEDGER_SQLITE if bind.dialect.name == "sqlite" else constraints.LEDGER_POSTGRES:
        op.execute(statement)
