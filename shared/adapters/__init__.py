"""The ports, kept with the SDKs of Azure and Kubernetes; the only place that imports them.

Constructors do no I/O. Every call has time-outs and bounded retries; what an SDK raises leaves here as
`PassingError`, as a `Refusal`, or, where a port can return none, as `RefusedError`.
"""
