"""What runs on a node: copies a database to its disk, verifies every byte, reports.

Standard library of Python 3.10 only: it is shipped module by module in a ConfigMap and runs in the
image ElasticBLAST already uses. It knows neither Kubernetes nor this app, only files and environment.
"""
