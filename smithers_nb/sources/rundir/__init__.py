"""Run directories: the files that an orchestrator without a store of its own leaves behind, and records of its commands."""
