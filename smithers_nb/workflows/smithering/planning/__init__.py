"""From a sentence to tickets that can be built."""
