#!/bin/sh
# Makes the class-data archive from which Spark's JVM starts faster, and .venv/spark/options, which the Makefile gives to it.
# Made anew when Java, the packages or the warm-up job have changed, when it is gone, and when it could not be made the last time.
# Without it everything works, and starts slower.
set -eu
cd "$(dirname "$0")/.."

made_from() {
    cat .venv/java-home "$(cat .venv/java-home)/release" .venv/fingerprint scripts/spark.sh nightfold/spark/warm_up.py 2>/dev/null | cksum
}

[ -s .venv/spark/classes.jsa ] && [ "$(made_from)" = "$(cat .venv/spark/made-from 2>/dev/null)" ] && exit 0
mkdir -p .venv/spark
new=.venv/spark/new-$$.jsa # renamed when whole: another set-up may run beside this one
quietly="-Xlog:disable -Xlog:all=error:stderr"
logging="\"-Dlog4j2.configurationFile=$(pwd)/nightfold/spark/log4j2.properties\""
JAVA_HOME=$(cat .venv/java-home)
export JAVA_HOME
echo "nightfold: making Spark's class-data archive" >&2
if SPARK_SUBMIT_OPTS="-XX:ArchiveClassesAtExit=$new -XX:TieredStopAtLevel=1 $quietly $logging" PYSPARK_PYTHON="$(pwd)/.venv/bin/python" SPARK_CONF_DIR= \
    PATH="$(pwd)/.venv/bin:$PATH" .venv/bin/spark-submit nightfold/spark/warm_up.py >.venv/spark/log 2>&1 && [ -s "$new" ]; then
    mv -f "$new" .venv/spark/classes.jsa
    echo "\"-XX:SharedArchiveFile=$(pwd)/.venv/spark/classes.jsa\" -Xshare:auto $quietly $logging" >.venv/spark/options
    made_from >.venv/spark/made-from
else
    rm -f "$new" .venv/spark/classes.jsa
    echo "nightfold: no class-data archive could be made (.venv/spark/log): each Spark job starts some seconds slower; make setup tries again" >&2
    echo "$quietly $logging" >.venv/spark/options
fi
