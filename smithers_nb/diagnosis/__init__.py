"""From what a store holds to what happened: rows and frames in, findings out. Nothing here writes or reads the clock."""
