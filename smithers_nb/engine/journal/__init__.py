"""The journal, our own store of runs: what durable notebooks did, who executes them, and what people decided. It also has the ledger."""

from smithers_nb.engine.journal import work_items as _work_items  # noqa: F401  # its tables are part of every journal
from smithers_nb.engine.journal.store import Journal

__all__ = ["Journal"]
