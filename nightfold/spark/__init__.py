"""What the Spark jobs share. Import it before pyspark.

spark-submit puts the job's own folder first on `sys.path`. `spark_jobs/profile.py` there would shadow the standard
library's `profile`, which pyspark imports (through cProfile), so the folder is taken off the path again.
"""

import os
import sys

_JOBS = os.path.dirname(os.path.abspath(getattr(sys.modules["__main__"], "__file__", "") or ""))
if os.path.basename(_JOBS) == "spark_jobs":
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != _JOBS]
