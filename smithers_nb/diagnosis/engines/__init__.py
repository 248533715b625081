"""The commands of each engine, and what they would do to a run."""
