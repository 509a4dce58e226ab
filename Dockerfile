# One image for Airflow, Spark, MLflow and the REST API, from requirements.lock. Built by `docker compose build`.
FROM python:3.11.13-slim-bookworm

RUN apt-get update \
    && apt-get install -y --no-install-recommends openjdk-17-jre-headless libgomp1 procps \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home nightfold \
    && install -d -o nightfold -g nightfold /opt/nightfold /var/lib/nightfold /data /data/lake /data/landing /data/logs /data/mlflow /data/serving

WORKDIR /opt/nightfold
USER nightfold

# The packages first: they change less often than the code.
COPY --chown=nightfold:nightfold requirements.lock ./
RUN python -m venv .venv && .venv/bin/pip install --no-cache-dir --no-deps -r requirements.lock

# The same set-up as on a laptop: it finds the packages there, and makes what Spark starts from.
COPY --chown=nightfold:nightfold . ./
RUN scripts/venv.sh && INSTALL_JAVA=0 scripts/java.sh && scripts/spark.sh

ENV PATH=/opt/nightfold/.venv/bin:$PATH \
    PYSPARK_PYTHON=/opt/nightfold/.venv/bin/python \
    PYTHONUNBUFFERED=1 \
    NIGHTFOLD_HOME=/var/lib/nightfold \
    AIRFLOW_HOME=/var/lib/nightfold/airflow

ENTRYPOINT ["python", "-m", "deploy"]
