"""The environment, read once: what is missing or unfit is named."""

import json
import logging
from collections import UserDict
from pathlib import Path
from typing import Any

import pytest

from shared import settings
from shared.domain.model import AccessMode, Engine
from shared.settings import Settings, SettingsError

SAMPLE = Path(__file__).parents[2] / "local.settings.sample.json"
PLATFORM = {
    "FUNCTIONS_WORKER_RUNTIME",
    "AzureWebJobsStorage__credential",
    "AZURE_FUNCTIONS_ENVIRONMENT",
    "AZURE_FUNCTIONS_DURABLE_STRICT_TYPING",
    "PYTHON_THREADPOOL_THREAD_COUNT",
}
SIGNS_OF_AZURE = settings._SIGNS_OF_AZURE
IDENTITY_ENDPOINTS = settings._IDENTITY_ENDPOINTS
SMALLEST = {
    "AzureWebJobsStorage__blobServiceUri": "https://appstate.blob.core.windows.net",
    "AZURE_TENANT_ID": "tenant",
    "API_CLIENT_ID": "client",
}
LOCAL = {
    "AzureWebJobsStorage__blobServiceUri": "https://127.0.0.1:10000/appstate",
    "AUTH_DEV_BYPASS": "true",
    "AZURE_FUNCTIONS_ENVIRONMENT": "Development",
}


class Recorded(UserDict[str, str]):
    """An environment that remembers what it was asked for."""

    def __init__(self, values: dict[str, str]) -> None:
        self.asked: set[str] = set()
        super().__init__(values)

    def __getitem__(self, name: str) -> str:
        """Remember, then answer."""
        self.asked.add(name)
        return super().__getitem__(name)


def sample() -> dict[str, str]:
    document: dict[str, Any] = json.loads(SAMPLE.read_text(encoding="utf-8"))
    return dict(document["Values"])


def test_the_smallest_environment_is_enough() -> None:
    read = Settings.read(SMALLEST)

    assert (read.azure.arm_endpoint, read.azure.state_container) == (
        "https://management.azure.com",
        "warmup-state",
    )
    assert (read.access.mode, read.access.container) == (AccessMode.NONE, "blast-db")
    assert (read.pods.engine, read.pods.memory_limit, read.pods.node_directory) == (
        Engine.RANGED,
        "1Gi",
        "/workspace",
    )
    assert read.pods.node_labels == (("workload", "blast"),)
    assert read.pods.tolerations == (
        "workload=blast:NoSchedule",
        "kubernetes.azure.com/scalesetpriority=spot:NoSchedule",
    )
    assert (read.auth.development_bypass, read.auth.tenant_id, read.retention_days) == (False, "tenant", 30)


def test_nothing_is_allowed_that_nobody_listed() -> None:
    read = Settings.read(SMALLEST)

    assert (read.auth.clusters, read.auth.accounts) == ((), ())


def test_the_sample_lists_exactly_what_is_read_and_what_the_platform_reads() -> None:
    environment = Recorded(sample())

    Settings.read(environment)

    assert environment.asked - {*SIGNS_OF_AZURE, *IDENTITY_ENDPOINTS} | PLATFORM == set(sample())


def test_the_sample_shows_the_defaults() -> None:
    """So that whoever copies it changes nothing by that."""
    shown, bare = Settings.read(sample()), Settings.read(LOCAL)

    assert (shown.pods, shown.access, shown.retention_days) == (bare.pods, bare.access, bare.retention_days)


def test_an_empty_setting_is_as_good_as_none() -> None:
    empty = {name: "" for name in sample() if name not in ("WARMUP_NODE_LABELS", "WARMUP_TOLERATIONS")}

    assert Settings.read(empty | SMALLEST) == Settings.read(SMALLEST)


@pytest.mark.parametrize("name", ["AzureWebJobsStorage__blobServiceUri", "AZURE_TENANT_ID", "API_CLIENT_ID"])
@pytest.mark.parametrize("absent", [None, ""])
def test_a_missing_setting_is_named(name: str, absent: str | None) -> None:
    environment = {key: value for key, value in SMALLEST.items() if key != name}
    if absent is not None:
        environment[name] = absent

    with pytest.raises(SettingsError, match=f"{name}.* missing"):
        Settings.read(environment)


UNFIT = {
    "AzureWebJobsStorage__blobServiceUri": ["http://plain.example", "appstate", "https://a b"],
    "AZURE_ARM_ENDPOINT": [
        "http://management.azure.com",
        "ftp://x",
        "https://",
        "https://x?y",
        "https://x\n",
    ],
    "AZURE_AUTHORITY_HOST": ["login.microsoftonline.com", "http://x"],
    "CA_BUNDLE_FILE": ["/no/such/file.pem", "/"],
    "STORAGE_ACCESS_MODE": ["open", "Window", "vnet "],
    "WARMUP_ENGINE": ["rsync", "AZCOPY"],
    "WARMUP_MEMORY_LIMIT": ["1G", "0Gi", "lots", "1Gi\n", "-1Gi"],
    "WARMUP_DEADLINE_MINUTES": ["4", "0", "2881", "ten", "-1", "1.5", "\u00b2", "\u0663", " 5"],
    "WARMUP_RETENTION_DAYS": ["0", "3651", "ten", "-1", "\u00b2"],
    "WARMUP_NODE_DIRECTORY": ["workspace", "/a/../b", "C:\\"],
    "WARMUP_NODE_LABELS": ["workload", "a=b c", "=x", "a=b,;=x"],
    "WARMUP_TOLERATIONS": ["workload=blast", "a=b:Never", ":NoSchedule", "a=$(x):NoSchedule"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in UNFIT.items() for value in values]
)
def test_an_unfit_setting_is_named_with_what_it_should_be(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} "):
        Settings.read(SMALLEST | {name: value})


def test_mode_vnet_needs_the_subnet() -> None:
    with pytest.raises(SettingsError, match="STORAGE_SUBNET_ID is missing"):
        Settings.read(SMALLEST | {"STORAGE_ACCESS_MODE": "vnet"})


def test_an_account_name_will_do_for_the_apps_own_storage() -> None:
    by_name = {k: v for k, v in SMALLEST.items() if not k.startswith("AzureWebJobs")}

    read = Settings.read(by_name | {"AzureWebJobsStorage__accountName": "appstate"})

    assert read.azure.state_endpoint == "https://appstate.blob.core.windows.net"


def test_a_connection_string_is_refused_since_it_holds_a_key() -> None:
    with pytest.raises(SettingsError, match="an account key is not accepted"):
        Settings.read({"AzureWebJobsStorage": "DefaultEndpointsProtocol=https;AccountKey=marked-secret"})


def test_everything_that_can_be_set_is_read(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.touch()
    chosen = {
        "AZURE_ARM_ENDPOINT": "https://127.0.0.1:9/arm/",
        "CA_BUNDLE_FILE": str(bundle),
        "STORAGE_ACCESS_MODE": "vnet",
        "STORAGE_SUBNET_ID": "/subscriptions/s/subnets/n",
        "WARMUP_NODE_LABELS": "a=b, c=",
        "WARMUP_TOLERATIONS": "",
        "WARMUP_DEADLINE_MINUTES": "90",
        "ALLOWED_CLUSTERS": "s/g/one, s/g/two,",
        "AUTH_OPERATOR_ROLE": "Operator",
    }

    read = Settings.read(SMALLEST | chosen)

    assert (read.azure.arm_endpoint, read.azure.ca_bundle) == ("https://127.0.0.1:9/arm", bundle)
    assert (read.access.mode, read.access.subnet_id) == (AccessMode.VNET, "/subscriptions/s/subnets/n")
    assert (read.pods.node_labels, read.pods.tolerations) == ((("a", "b"), ("c", "")), ())
    assert read.pods.requests.deadline_minutes == 90
    assert (read.auth.clusters, read.auth.operator_role) == (("s/g/one", "s/g/two"), "Operator")


def test_a_local_host_may_let_anybody_in() -> None:
    assert Settings.read(LOCAL).auth.development_bypass is True


@pytest.mark.parametrize("sign", SIGNS_OF_AZURE)
def test_the_development_bypass_stops_the_app_wherever_azure_left_its_mark(sign: str) -> None:
    with pytest.raises(SettingsError, match=f"AUTH_DEV_BYPASS is refused.*{sign}"):
        Settings.read(LOCAL | {sign: "something"})


def test_containers_of_azure_and_of_kubernetes_are_no_local_hosts() -> None:
    assert {"CONTAINER_NAME", "CONTAINER_APP_NAME", "KUBERNETES_SERVICE_HOST"} <= set(SIGNS_OF_AZURE)


@pytest.mark.parametrize("name", ["IDENTITY_ENDPOINT", "MSI_ENDPOINT"])
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.129.3:8081/msi/token",
        "http://localhost:42356/msi/token",
        "https://identity.example/token",
        "http://20.1.2.3/token",
        "http://[fe80::1]/token",
        "nonsense",
        "http://[::1",
    ],
)
def test_an_identity_that_is_handed_out_by_azure_stops_the_development_bypass(name: str, url: str) -> None:
    with pytest.raises(SettingsError, match=f"AUTH_DEV_BYPASS is refused.*{name}"):
        Settings.read(LOCAL | {name: url})


@pytest.mark.parametrize("host", ["127.0.0.1:4567", "172.18.0.1:4567", "[::1]:4567"])
def test_a_laptops_own_identity_endpoint_is_no_sign_of_azure(host: str) -> None:
    assert Settings.read(LOCAL | {"IDENTITY_ENDPOINT": f"http://{host}/msi/token"}).auth.development_bypass


@pytest.mark.parametrize("environment", ["", "Production", "Staging", "development"])
def test_the_development_bypass_stops_the_app_outside_a_development_host(environment: str) -> None:
    with pytest.raises(SettingsError, match="AUTH_DEV_BYPASS is refused"):
        Settings.read(LOCAL | SMALLEST | {"AZURE_FUNCTIONS_ENVIRONMENT": environment})


@pytest.mark.parametrize("value", ["false", "1", "yes", "on", ""])
def test_nothing_but_the_word_true_switches_the_bypass_on(value: str) -> None:
    with pytest.raises(SettingsError, match="AZURE_TENANT_ID and API_CLIENT_ID are missing"):
        Settings.read(LOCAL | {"AUTH_DEV_BYPASS": value})


def test_app_service_is_believed_only_where_it_authenticates() -> None:
    behind = {k: v for k, v in SMALLEST.items() if k.startswith("AzureWebJobs")} | {
        "AUTH_APP_SERVICE": "true"
    }

    with pytest.raises(SettingsError, match="AUTH_APP_SERVICE is refused"):
        Settings.read(behind)
    assert Settings.read(behind | {"WEBSITE_AUTH_ENABLED": "True"}).auth.behind_app_service
    assert not Settings.read(SMALLEST | {"WEBSITE_AUTH_ENABLED": "True"}).auth.behind_app_service


def kept(**changes: str) -> dict[str, str]:
    """An environment that keeps a database warm."""
    subscription = "11111111-2222-3333-4444-555555555555"
    return (
        SMALLEST
        | {
            "KEEP_WARM": f"{subscription}/rg/aks=blastdata:core_nt",
            "ALLOWED_CLUSTERS": f"{subscription}/RG/aks",
            "ALLOWED_STORAGE_ACCOUNTS": "blastdata",
            "WARMUP_IMAGE": "elbacr.azurecr.io/ncbi/elb:1.4.0",
        }
        | changes
    )


def test_what_is_kept_warm_is_read() -> None:
    (read,) = Settings.read(kept()).kept_warm

    assert (read.cluster.name, read.account_name, read.databases[0].name) == ("aks", "blastdata", "core_nt")


@pytest.mark.parametrize(
    ("changes", "hosts"),
    [
        ({}, ("elbacr.azurecr.io",)),
        ({"ALLOWED_REGISTRIES": "other, ghcr.io"}, ("other.azurecr.io", "ghcr.io", "elbacr.azurecr.io")),
        ({"ALLOWED_REGISTRIES": "*"}, ("*", "elbacr.azurecr.io")),
        ({"KEEP_WARM": "", "WARMUP_IMAGE": ""}, ()),
    ],
)
def test_images_come_from_listed_registries_and_the_operators_own(
    changes: dict[str, str], hosts: tuple[str, ...]
) -> None:
    assert Settings.read(kept(**changes)).auth.registries == hosts


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"KEEP_WARM": "core_nt"}, "KEEP_WARM is unfit"),
        ({"ALLOWED_CLUSTERS": ""}, "which ALLOWED_CLUSTERS does not"),
        ({"ALLOWED_STORAGE_ACCOUNTS": "other"}, "which ALLOWED_STORAGE_ACCOUNTS does not"),
        ({"WARMUP_IMAGE": ""}, "WARMUP_IMAGE is missing"),
    ],
)
def test_what_is_kept_warm_is_held_to_what_anybody_may_ask_for(changes: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Settings.read(kept(**changes))


def test_optional_settings_that_are_not_set_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Settings.read(SMALLEST | {"AUTH_READER_ROLE": "Reader"})

    (said,) = caplog.records
    assert said.levelno == logging.DEBUG
    assert "KEEP_WARM" in said.getMessage()
    assert "AUTH_READER_ROLE" not in said.getMessage()
