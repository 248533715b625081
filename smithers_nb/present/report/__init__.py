"""The HTML report: one self-contained file made from an executed notebook."""
