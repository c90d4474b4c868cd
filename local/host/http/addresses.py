"""The management URLs of instances, and the JSON that a durable client is bound to."""

from dataclasses import dataclass
from urllib.parse import quote_plus

from local.host.protocol import texts

PUBLIC_BASE = "/runtime/webhooks/durabletask"
RPC_BASE = "/durabletask"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where this host is reached; `origin` and `rpc_origin` are `http://host:port`."""

    origin: str
    rpc_origin: str
    hub_name: str
    system_key: str

    def links(self, instance_id: str, origin: str | None = None) -> dict[str, str]:
        """Give the management URLs of an instance, on the caller's origin."""
        root = f"{origin or self.origin}{PUBLIC_BASE}/instances/{quote_plus(instance_id)}"
        query = f"taskHub={self.hub_name}&connection=Storage&code={self.system_key}"
        return {
            "id": instance_id,
            "statusQueryGetUri": f"{root}?{query}",
            "sendEventPostUri": f"{root}/raiseEvent/{{eventName}}?{query}",
            "terminatePostUri": f"{root}/terminate?reason={{text}}&{query}",
            "rewindPostUri": f"{root}/rewind?reason={{text}}&{query}",
            "purgeHistoryDeleteUri": f"{root}?{query}",
            "restartPostUri": f"{root}/restart?{query}",
            "suspendPostUri": f"{root}/suspend?reason={{text}}&{query}",
            "resumePostUri": f"{root}/resume?reason={{text}}&{query}",
        }

    def client_binding(self) -> str:
        """Give what a function's durable client parameter receives."""
        create = f"{self.origin}{PUBLIC_BASE}/orchestrators/{{functionName}}[/{{instanceId}}]"
        code = f"code={self.system_key}"
        waiting = "timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}"
        return texts.compact(
            {
                "taskHubName": self.hub_name,
                "connectionName": None,
                "creationUrls": {
                    "createNewInstancePostUri": f"{create}?{code}",
                    "createAndWaitOnNewInstancePostUri": f"{create}?{waiting}&{code}",
                },
                "managementUrls": self.links("INSTANCEID"),
                "baseUrl": f"{self.origin}{PUBLIC_BASE}",
                "requiredQueryStringParameters": code,
                "rpcBaseUrl": f"{self.rpc_origin}{RPC_BASE}/",
                "httpBaseUrl": None,
                "maxGrpcMessageSizeInBytes": None,
                "grpcHttpClientTimeout": None,
            }
        )
