"""What follows the end of a run: launching the autopsy, once per failure."""
