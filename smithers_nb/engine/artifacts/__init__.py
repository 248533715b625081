"""The artifact store: notebooks and reports in a folder or at any fsspec URL."""
