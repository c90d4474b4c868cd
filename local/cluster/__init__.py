"""A Kubernetes in one process: API server, controllers, and node agents that run real processes.

    python -m local.cluster --root DIR --cert PEM --key PEM --ca PEM [--port 0] [--nodes 3]
        [--simulated-nodes 0] [--kubeconfig FILE] [--images FILE] [--pod-env FILE] [--backoff-seconds 10]
        [--control]

It prints `ready https://127.0.0.1:PORT` when it serves, and ends on SIGTERM with every process it started.

    DIR/kubeconfig                   for clients that may do everything (or where --kubeconfig says)
    DIR/cluster/reader.kubeconfig    for clients that may only look
    DIR/cluster/tokens.json          {"admin", "reader", "control"}
    DIR/cluster/state.json           all objects; started again, a cluster continues from it
    DIR/cluster/logs/POD_UID/CONTAINER/ATTEMPT.log
    DIR/nodes/NODE/                  a node's root: hostPath /workspace is DIR/nodes/NODE/workspace

How it hangs together: `api` parses and answers, `writing` and `deleting` change the `store` by the rules
of `validation`, `controllers` follow the pure plans of `daemonsets` and `scheduling`, `nodes` make
processes of pods. Everything runs on one event loop, so what is not awaited is atomic.

Not imitated, and refused or told where it is asked for: sidecar containers, maxSurge, volumes other than
hostPath, configMap, secret, emptyDir and downwardAPI. Not imitated, and kept without effect: probes,
hooks, Job controller, priorities, quotas, service account tokens, field validation beyond types and
required fields. Not served: exec, attach, port-forward, eviction as a subresource.
"""
