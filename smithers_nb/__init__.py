"""Find out why an agent workflow run failed."""

__version__ = "0.1.0"
