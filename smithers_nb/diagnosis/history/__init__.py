"""What other runs of the store tell about this one."""
