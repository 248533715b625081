"""Widgets and forms for JupyterLab."""
