"""Bug reports: written, scrubbed, shown, approved and sent."""
