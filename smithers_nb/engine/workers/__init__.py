"""Processes that execute runs: DBOS, the worker loop, and recovery."""
