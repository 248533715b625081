"""The generated workflow: made, checked, started, watched."""
