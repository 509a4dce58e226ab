"""The plugins are tested with an Airflow of the tests' own."""

import airflow_at_home  # noqa: F401 (before anything imports airflow)
