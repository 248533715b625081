"""Read-only adapters from a store to rows and frames."""
