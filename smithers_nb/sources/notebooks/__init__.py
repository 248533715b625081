"""Executed notebooks as runs: what the `.ipynb` file itself says about how it ended."""
