"""A Smithers store, read as runs; our own journal has the same tables."""
