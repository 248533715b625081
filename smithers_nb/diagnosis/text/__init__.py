"""Text from rows: quotes and naming conventions."""
