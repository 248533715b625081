"""Where notebooks and reports are kept: a folder or any fsspec URL."""
