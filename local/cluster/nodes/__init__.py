"""The node agents: pods that are bound to a node become processes in its folder, and their states become status."""
