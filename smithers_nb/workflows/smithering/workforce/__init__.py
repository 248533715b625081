"""Who does the work: an agent CLI or an answer book."""
