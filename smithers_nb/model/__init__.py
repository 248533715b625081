"""What things are: words, rows of a store, findings of a diagnosis. No I/O and no pandas here."""
