"""From a built branch to a delivery that proves itself."""
