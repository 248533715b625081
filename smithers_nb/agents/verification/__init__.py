"""Checks a provider's answer against the rows, and drops the claims, quotes and commands that do not check out."""
