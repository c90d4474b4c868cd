"""The node agents: a pod bound to a node becomes processes in its folder, their states become its status."""
