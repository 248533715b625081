"""Triggers: launching an autopsy when a run ends, once per failure."""
