"""The stage functions that notebooks call."""
