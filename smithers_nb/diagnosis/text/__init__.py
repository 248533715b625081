"""Text from rows: quotes, excerpts, durations and naming conventions."""
