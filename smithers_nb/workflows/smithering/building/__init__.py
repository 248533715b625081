"""Tickets on their way: who works on which, and what has become of each."""
