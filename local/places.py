"""Where everything of one stack lies: one folder per checkout, or the one that `STACK_DIR` names."""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The folder of a stack and what lies in it."""

    root: Path
    node_folders: str | None = None
    """Where the nodes' `/workspace` are seen from this machine, `{node}` for the name; None: in the root."""

    @property
    def record(self) -> Path:
        """Which processes were started, and where they listen."""
        return self.root / "stack.json"

    @property
    def tls(self) -> Path:
        """The stack's certificate authority and the certificates of its servers."""
        return self.root / "tls"

    @property
    def data(self) -> Path:
        """Databases as made or downloaded, before they are staged; kept between runs."""
        return self.root / "data"

    @property
    def blobs(self) -> Path:
        """What Azurite stores."""
        return self.root / "azurite"

    @property
    def cluster(self) -> Path:
        """The cluster's own state."""
        return self.root / "cluster"

    @property
    def kubeconfig(self) -> Path:
        """What `kubectl --kubeconfig` takes."""
        return self.root / "kubeconfig"

    @property
    def host_state(self) -> Path:
        """The task hub: every run there was."""
        return self.root / "hub.sqlite"

    @property
    def func_app(self) -> Path:
        """The copy of the app that Core Tools run."""
        return self.root / "func-app"

    @property
    def trust(self) -> Path:
        """The system's authorities and the stack's own, for programs that take one file."""
        return self.tls / "trust.pem"

    @property
    def logs(self) -> Path:
        """One file per process, and the request logs of ARM and of the blob server."""
        return self.root / "logs"

    @property
    def blob_requests(self) -> Path:
        """Every request the blob server answered: who, what, how many bytes."""
        return self.logs / "blob.jsonl"

    @property
    def arm_requests(self) -> Path:
        """Every request ARM answered."""
        return self.logs / "arm.jsonl"

    @property
    def arm_state(self) -> Path:
        """ARM's own record of networks and roles."""
        return self.root / "azure-state.json"

    def workspace(self, node: str) -> Path:
        """A node's `/workspace`."""
        known = self.node_folders or str(self.cluster / "nodes/{node}/workspace")
        return Path(known.replace("{node}", node))

    def blast_folder(self, node: str) -> Path:
        """Where searches on a node find their databases."""
        return self.workspace(node) / "blast"


def places(root: Path | None = None) -> Places:
    """This checkout's places, or those of a stack in `root`."""
    folder = root or Path(os.environ.get("STACK_DIR") or REPOSITORY / ".stack")
    return Places(root=folder.resolve(), node_folders=os.environ.get("STACK_NODE_FOLDERS") or None)
