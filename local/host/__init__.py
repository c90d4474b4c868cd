"""A Functions host for v2 Python apps with Durable Functions, in one process."""
