"""Commands that run notebooks and act on runs."""
