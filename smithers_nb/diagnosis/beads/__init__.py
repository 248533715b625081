"""Reasons of work items: which moves have one, which lost theirs, and what a store cannot show."""
