"""Our own store of runs: what a durable notebook has done, who executes it, and what people decided; and the tables of the ledger."""

from smithers_nb.engine.journal import work_items as _work_items  # noqa: F401  # its tables are part of every journal
from smithers_nb.engine.journal.store import Journal

__all__ = ["Journal"]
