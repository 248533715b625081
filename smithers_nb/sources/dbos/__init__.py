"""The system database of a DBOS application, read as runs."""
