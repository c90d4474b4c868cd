"""A Functions host for v2 Python apps with Durable Functions, in one process.

`protocol` is pure: histories and actions in, decisions out. `engine` keeps the task hub, its
checkpoint and its workers. `http` speaks to callers. The modules beside them index the app, run
its code as the Python worker does, and put everything together.

The measure is the Durable extension 3.19, recorded; a test puts the same questions to this host.
Refused or answered by name: triggers and bindings other than HTTP, durable client, orchestration,
activity and timer; entities; `call_http`; rewinding. Not imitated:

- storage queues: work is taken within milliseconds, never twice, and what a killed host had in
  flight runs again at once, not when a visibility time-out has passed;
- scale-out: one process is the whole hub;
- versions: an instance started with one runs, where the real host may leave it pending;
- timers over three days are one timer; the SDK is not told to split them;
- a worker that exceeds functionTimeout is not restarted: its thread runs on, unheard;
- .NET's stack traces and its wording of JSON syntax errors.
"""
