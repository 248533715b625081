"""Kernels: our kernel manager, and prewarmed processes that become kernels in milliseconds."""
