"""Airflow in the tests' own process, with a home of its own. Import this before anything imports airflow."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
HOME = Path(tempfile.mkdtemp(prefix="nightfold-airflow-"))
CONFIGURATION = f"""\
[core]
dags_folder = {ROOT}/dags
plugins_folder = {ROOT}/plugins
load_examples = False
[database]
sql_alchemy_conn = sqlite:///{HOME}/airflow.db
[logging]
base_log_folder = {HOME}/logs
"""

atexit.register(shutil.rmtree, HOME, ignore_errors=True)
(HOME / "airflow.cfg").write_text(CONFIGURATION)
others = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW__")}
with mock.patch.dict(os.environ, {**others, "AIRFLOW_HOME": str(HOME)}, clear=True):  # read once, and no other test sees it
    import airflow.settings  # noqa: F401
sys.path.insert(0, str(ROOT / "plugins"))  # as Airflow does
