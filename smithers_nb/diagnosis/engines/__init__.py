"""Each engine's own commands, and what they would do to a run."""
