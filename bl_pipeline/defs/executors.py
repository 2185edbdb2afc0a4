"""Where the steps of the jobs run that Dagster launches: BL_EXECUTOR."""

from typing import TYPE_CHECKING

import dagster as dg

from bl_pipeline.settings import Executor, Settings, SettingsError, load_installation

if TYPE_CHECKING:
    from dagster_celery.executor import CeleryExecutor

_EXTRAS = {Executor.CELERY: "dagster_celery", Executor.K8S: "dagster_k8s"}
"""Executor → the package that it needs; the extra of bl-pipeline has the executor's name."""

_LONGEST_STEP_SECONDS = 43_200
"""As long as dagster.yaml lets a run last: a broker gives a task that takes longer to a second worker."""


def executor_of(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of the settings. Raises SettingsError if a package is missing."""
    executor = settings.bl_executor
    try:
        match executor:
            case Executor.IN_PROCESS:
                return dg.in_process_executor
            case Executor.MULTIPROCESS:
                # A new interpreter for each step would take seconds to import what a step needs.
                forkserver = {"start_method": {"forkserver": {"preload_modules": ["bl_pipeline.definitions"]}}}
                return dg.multiprocess_executor.configured(forkserver, name="multiprocess")
            case Executor.CELERY:
                return _celery_executor()
            case Executor.K8S:
                from dagster_k8s import k8s_job_executor  # noqa: PLC0415

                in_pods: dg.ExecutorDefinition = k8s_job_executor
                return in_pods
    except ModuleNotFoundError as error:
        if error.name != _EXTRAS.get(executor):
            raise
        raise SettingsError(
            f"BL_EXECUTOR={executor} needs a package that is not installed. Install it, on every machine that runs "
            f"steps or the Dagster UI: pip install 'bl-pipeline[{executor}]'\n({error.name} is missing)"
        ) from None


def _celery_executor() -> dg.ExecutorDefinition:
    # Not by Dagster's own definition of it: that would show the broker's URL, with its password, in the UI.
    import dagster_celery  # noqa: F401, PLC0415  (it has to be there)

    @dg.executor(name="celery", requirements=dg.multiple_process_executor_requirements())
    def celery(_context: dg.InitExecutorContext) -> "CeleryExecutor":
        return celery_settings(load_installation())

    return celery


def celery_settings(settings: Settings) -> "CeleryExecutor":
    """Dagster's executor with our broker: the same for whoever sends steps and for the workers.

    Raises SettingsError if BL_EXECUTOR says otherwise: a step would then take itself for a whole run.
    """
    from dagster._core.execution.retries import RetryMode  # noqa: PLC0415
    from dagster_celery.executor import CeleryExecutor  # noqa: PLC0415

    if settings.bl_executor is not Executor.CELERY or settings.bl_celery_broker is None:
        raise SettingsError(
            "The workers of Celery need the same settings as the Dagster UI: BL_EXECUTOR=celery, and BL_CELERY_BROKER, "
            "such as redis://localhost:6379/0."
        )
    broker = settings.bl_celery_broker.get_secret_value()
    return CeleryExecutor(
        retries=RetryMode.ENABLED,
        broker=broker,
        # The results of steps go the same way: Redis stores them, RabbitMQ sends them as messages.
        backend=broker if broker.startswith("redis") else "rpc://",
        config_source={
            "broker_transport_options": {"visibility_timeout": _LONGEST_STEP_SECONDS},
            "broker_connection_retry_on_startup": True,
        },
    )
