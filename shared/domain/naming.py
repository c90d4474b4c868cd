"""Names that outlive a process: Kubernetes objects, labels, annotations, claims and instance ids."""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

from shared.domain.model import Cluster, Database

NAMESPACE = "default"  # where every generation of the dashboard looks
APP_LABEL = "app"
APP_VALUE = "db-warmup"
DATABASE_LABEL = "db"
SELECTOR = f"{APP_LABEL}={APP_VALUE}"
INIT_CONTAINER = "download-db"
RUN_ANNOTATION = "elastic-blast-warmup/run-id"
DATABASE_ANNOTATION = "elastic-blast-warmup/database"
GENERATION_ANNOTATION = "elastic-blast-warmup/generation"
SOURCE_VERSION_ANNOTATION = "elastic-blast-warmup/source-version"
MOLECULE_ANNOTATION = "elastic-blast-warmup/molecule"
LEFT_OUT_ANNOTATION = "elastic-blast-warmup/left-out"  # how many nodes a run that failed took its pods off
CLAIMS_FOLDER = "claims/"

# A DaemonSet's pods carry its name in a label with a 10-character hash behind it: 63 in all.
MAX_DAEMONSET_NAME = 52
_PLAIN = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")


def daemonset_name(database: Database) -> str:
    """The DaemonSet of one database: the name it always had, hashed only where that is ambiguous.

    >>> daemonset_name(Database(name="core_nt", folder="core_nt"))
    'warmup-core-nt'
    >>> daemonset_name(Database(name="Core.NT", folder="Core.NT"))
    'warmup-core-nt--791eb1'
    """
    return _safe(f"warmup-{database.name}", plain=bool(_PLAIN.fullmatch(database.name)))


def label_value(database: Database) -> str:
    """The `db` label: the name itself where Kubernetes allows it, else a safe key for it."""
    if re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", database.name):
        return database.name
    return _safe(database.name, plain=False)


def selector_of(databases: Iterable[Database]) -> str:
    """The label selector of what warms these databases, and none of a cluster's others.

    >>> selector_of([Database(name="nt", folder="nt"), Database(name="core_nt", folder="core_nt")])
    'app=db-warmup,db in (core_nt,nt)'
    """
    return f"{SELECTOR},{DATABASE_LABEL} in ({','.join(sorted(set(map(label_value, databases))))})"


def claim_name(cluster: Cluster, database: Database) -> str:
    """The blob that says which run holds a database on a cluster; Azure's names ignore case."""
    place = f"{cluster.subscription_id}/{cluster.resource_group}/{cluster.name}".lower()
    return f"{CLAIMS_FOLDER}{place}/{database.name}.json"


def instance_id(asked: str, nonce: str) -> str:
    """An orchestration's id: the same question asked with the same nonce is the same run.

    32 hexadecimal digits, since the older dashboard takes nothing but letters and digits.
    """
    return hashlib.sha256(f"{asked}\n{nonce}".encode()).hexdigest()[:32]


def keeper_prefix(cluster: Cluster) -> str:
    """How the ids of all runs begin that keep a cluster warm, so that the task hub can list them."""
    place = f"{cluster.subscription_id}/{cluster.resource_group}/{cluster.name}".lower()
    return f"keepwarm{hashlib.sha256(place.encode()).hexdigest()[:12]}"


def keeper_run_id(cluster: Cluster, now: datetime) -> str:
    """The run that keeps a cluster warm from this minute on: two timers in one minute start one run.

    >>> cluster = Cluster(subscription_id="s", resource_group="g", name="aks")
    >>> keeper_run_id(cluster, datetime(2026, 5, 26, 12, 30))
    'keepwarm8182309cb20f202605261230'
    """
    return f"{keeper_prefix(cluster)}{now:%Y%m%d%H%M}"


def _safe(text: str, *, plain: bool) -> str:
    safe = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain and len(safe) <= MAX_DAEMONSET_NAME:
        return safe
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    # Two dashes, which no plain name has: none can be taken for a hashed one.
    return f"{safe[: MAX_DAEMONSET_NAME - 8].rstrip('-')}--{digest}"
