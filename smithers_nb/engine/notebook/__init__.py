"""A notebook as a program: its file, its source hash, and its execution from the first cell to the last."""
