"""The app of the workers for BL_EXECUTOR=celery: celery -A bl_pipeline.defs.celery_worker worker"""

from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from bl_pipeline.defs.executors import celery_settings
from bl_pipeline.settings import load_installation

app = make_app(celery_settings(load_installation()).app_args())
execute_plan = create_task(app)
