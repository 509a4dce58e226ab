"""The laptop's servers as plain processes: PostgreSQL, Valkey, MLflow and Airflow from wheels, no containers.

On a cluster this package is absent: everything it starts is reached through settings and Airflow Connections.
"""
