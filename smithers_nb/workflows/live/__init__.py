"""The live pages of a run and of all runs of a project."""
