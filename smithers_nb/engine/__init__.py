"""The engine: executes notebooks as durable runs."""
