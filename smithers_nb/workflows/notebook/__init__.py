"""What notebooks call: `stage`, `gate` and `ask`, with their widgets in JupyterLab."""
