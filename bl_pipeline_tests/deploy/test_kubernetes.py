"""deploy/kubernetes: our manifests by the schemas of Kubernetes, and what the values make of Dagster's instance."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import dagster as dg
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml  # type: ignore[import-untyped]
from dagster._config import process_config, resolve_to_config_type
from dagster._core.instance.config import dagster_instance_config
from dagster._core.test_utils import create_run_for_test
from dagster_k8s import K8sRunLauncher
from sqlalchemy.engine import make_url

from bl_pipeline.dagster_names import Names
from bl_pipeline.defs.instance import open_instance
from bl_pipeline.settings import load_settings
from bl_pipeline_tests.support.servers import Postgres

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
MANIFESTS: list[dict[str, Any]] = list(yaml.safe_load_all((KUBERNETES / "bl-pipeline.yaml").read_text()))
VALUES: dict[str, Any] = yaml.safe_load((KUBERNETES / "values.yaml").read_text())
VERSIONS = ["1.33", "1.37"]
POD_SPECS = [one["spec"]["template"]["spec"] for one in MANIFESTS if "template" in one["spec"]]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("manifest", MANIFESTS, ids=lambda one: f"{one['kind']}-{one['metadata']['name']}")
def test_kubernetes_takes_each(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)
    wrong = deepcopy(manifest)
    wrong["spec"]["replica"] = 2
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)


def test_pods_have_few_rights_and_secrets_by_name() -> None:
    """Planted: a password in a variable; a container that may become root."""
    assert len(POD_SPECS) == 3
    for pod in POD_SPECS:
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            for variable in container["env"]:
                secret = any(word in variable["name"] for word in ("PASSWORD", "TOKEN", "SECRET", "KEY", "URL"))
                assert "secretKeyRef" in variable.get("valueFrom", {}) if secret else "value" in variable, variable
            assert {"secretRef": {"name": "bl-pipeline"}} in container["envFrom"]
    deployments = VALUES["dagster-user-deployments"]["deployments"]
    assert all(one["envSecrets"] == [{"name": "bl-pipeline"}] and "env" not in one for one in deployments)


def test_names_are_the_same_in_both_files() -> None:
    """Planted: another tag in one of them; another port of the code server."""
    (deployment,) = VALUES["dagster-user-deployments"]["deployments"]
    (server,) = VALUES["dagsterWebserver"]["workspace"]["servers"]
    assert (server["host"], server["port"]) == (deployment["name"], deployment["port"])
    assert server["name"] == deployment["codeServerArgs"][-1] == "bl_pipeline"
    image = VALUES["dagsterDaemon"]["image"]
    assert image == deployment["image"]
    images = {container["image"] for pod in POD_SPECS for container in pod["containers"]}
    assert images == {f"{image['repository']}:{image['tag']}"}
    assert MANIFESTS[0]["spec"]["template"]["spec"]["containers"][0]["command"][-2:] == [Names().pool, "1"]


def instance_of(url: str) -> dict[str, Any]:
    """The dagster.yaml that the chart makes of the values, as its templates say; with the server of this test."""
    given, postgres = make_url(url), VALUES["postgresql"]
    storage = {
        "postgres_db": {
            "username": given.username,
            "password": {"env": "DAGSTER_PG_PASSWORD"},
            "hostname": given.host,
            "db_name": given.database,
            "port": given.port,
            "params": postgres["postgresqlParams"],
            "scheme": postgres["postgresqlScheme"],
        }
    }
    daemon, logs = VALUES["dagsterDaemon"], VALUES["pythonLogs"]
    most = daemon["runCoordinator"]["config"]["queuedRunCoordinator"]["maxConcurrentRuns"]
    return {
        "run_storage": {"module": "dagster_postgres.run_storage", "class": "PostgresRunStorage", "config": storage},
        "event_log_storage": {
            "module": "dagster_postgres.event_log", "class": "PostgresEventLogStorage", "config": storage,
        },
        "schedule_storage": {
            "module": "dagster_postgres.schedule_storage", "class": "PostgresScheduleStorage", "config": storage,
        },
        "run_coordinator": {
            "module": "dagster._core.run_coordinator",
            "class": daemon["runCoordinator"]["type"],
            "config": {"max_concurrent_runs": most} if most else {},
        },
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": daemon["runMonitoring"]["startTimeoutSeconds"],
            "cancel_timeout_seconds": daemon["runMonitoring"]["cancelTimeoutSeconds"],
            "max_resume_run_attempts": daemon["runMonitoring"]["maxResumeRunAttempts"],
            "poll_interval_seconds": daemon["runMonitoring"]["pollIntervalSeconds"],
            "free_slots_after_run_end_seconds": daemon["runMonitoring"]["freeSlotsAfterRunEndSeconds"],
        },
        "python_logs": {
            "python_log_level": logs["pythonLogLevel"], "managed_python_loggers": logs["managedPythonLoggers"],
        },
        "retention": {
            "schedule": {"purge_after_days": VALUES["retention"]["schedule"]["purgeAfterDays"]},
            "sensor": {"purge_after_days": VALUES["retention"]["sensor"]["purgeAfterDays"]},
        },
        "telemetry": VALUES["telemetry"],
        **VALUES["additionalInstanceConfig"],
    }  # fmt: skip


def test_dagster_accepts_the_instance_and_shares_its_history(
    postgres: Postgres, tmp_path: Path, isolated: pytest.MonkeyPatch
) -> None:
    """A run that the chart's storage has stored is one that `bl` and the desk see, and the other way round.

    Planted: without `options` the chart's tables are in the schema public, and each sees only its own runs; a limit of
    runs in two places, which Dagster refuses.
    """
    with postgres.database() as url:
        isolated.setenv("DAGSTER_PG_PASSWORD", str(make_url(url).password))
        isolated.setenv("BL_DATABASE_URL", url)
        (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(instance_of(url)))
        dagster_instance_config(str(tmp_path))
        isolated.setenv("BL_HOME", str(tmp_path / "home"))
        # What the job `prepare` does comes first: it makes the schema.
        with open_instance(load_settings()) as ours:
            create_run_for_test(ours, "sync_orders", run_id="8f14e45f-ceea-467f-9b2c-3c1f0e5a7d11")
            with dg.DagsterInstance.from_config(str(tmp_path)) as charts:
                assert charts.get_run_by_id("8f14e45f-ceea-467f-9b2c-3c1f0e5a7d11") is not None
                create_run_for_test(charts, "sync_orders", run_id="8f14e45f-ceea-467f-9b2c-3c1f0e5a7d12")
            assert ours.get_run_by_id("8f14e45f-ceea-467f-9b2c-3c1f0e5a7d12") is not None


def test_the_launcher_accepts_its_configuration() -> None:
    """Planted: an option that it does not know."""
    given = VALUES["runLauncher"]["config"]["k8sRunLauncher"]
    config = {
        "load_incluster_config": given["loadInclusterConfig"],
        "image_pull_policy": given["imagePullPolicy"],
        "service_account_name": "dagster",
        "dagster_home": VALUES["global"]["dagsterHome"],
        "instance_config_map": "dagster-instance",
        "postgres_password_secret": VALUES["global"]["postgresqlSecretName"],
    }
    assert VALUES["runLauncher"]["type"] == K8sRunLauncher.__name__
    schema = resolve_to_config_type(K8sRunLauncher.config_type())  # type: ignore[no-untyped-call]
    assert process_config(schema, config).success
    assert not process_config(schema, {**config, "image_pull": "Always"}).success
