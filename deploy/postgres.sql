-- Run by the image of PostgreSQL at its first start; `airflow` is made by the image itself.
CREATE DATABASE mlflow;
CREATE DATABASE mlflow_auth;
