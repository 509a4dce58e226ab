"""What the Spark jobs share. Import it before pyspark.

spark-submit puts the job's own folder first on `sys.path`. `spark_jobs/profile.py` there would shadow the standard
library's `profile`, which pyspark imports (through cProfile), so the folder is taken off the path again. It also puts pyspark
there as a zip, of which every process compiles what it imports anew; where the same pyspark lies beside us unpacked, that is
taken (docs/decisions/0010).
"""

import os
import sys

_JOBS = os.path.dirname(os.path.abspath(getattr(sys.modules["__main__"], "__file__", "") or ""))
if os.path.basename(_JOBS) == "spark_jobs":
    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != _JOBS]

_SPARK = os.path.realpath(os.environ.get("SPARK_HOME", ""))
if os.path.basename(_SPARK) == "pyspark" and os.path.dirname(_SPARK) in map(os.path.realpath, sys.path):
    _ZIPS = os.path.join(_SPARK, "python", "lib", "")
    sys.path[:] = [place for place in sys.path if not os.path.realpath(place).startswith(_ZIPS)]
