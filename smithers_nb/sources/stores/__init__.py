"""Databases opened without disturbing them: SQLite, Arrow bulk reads, Postgres."""
