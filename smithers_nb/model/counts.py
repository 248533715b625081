"""A number with what it counts, as every sentence and table writes it."""

from __future__ import annotations


def plural(count: int, noun: str) -> str:
    """Write a count with its noun, such as `1 other` or `2 others`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
