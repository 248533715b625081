"""Our own store of runs: what a durable notebook has done, who executes it, and what people decided."""

from smithers_nb.engine.journal.store import Journal

__all__ = ["Journal"]
