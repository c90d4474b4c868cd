"""The laptop stack: servers that behave like Azure, Kubernetes and the Functions host.

An outsider: it loads `function_app` by name, and the product never imports it.
"""
