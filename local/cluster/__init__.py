"""A Kubernetes API server with a DaemonSet controller and node agents that run real processes."""
