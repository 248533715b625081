"""The version of the package, where everything that needs it finds it without importing the package's public names."""

__version__ = "0.1.0"
