"""Autopsies of many runs: in this process, in processes of our own, or on a shared queue."""
