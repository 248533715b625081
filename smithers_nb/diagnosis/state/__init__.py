"""How a run stands: its health, progress, blockers, and what it waits for."""
