"""From one sentence to delivered work, with gates and proof."""
