"""Text from rows: quotes, durations and naming conventions."""
