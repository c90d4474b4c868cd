"""A Functions host for v2 Python apps with Durable Functions, in one process.

`protocol` is pure: histories and actions in, decisions out. `engine` keeps the task hub, its
checkpoint and its workers. `http` speaks to callers. The modules beside them index the app, run
its code as the Python worker does, and put everything together.
"""
