"""How cells are executed: papermill's engine, our kernel manager, and processes that become kernels in milliseconds."""
