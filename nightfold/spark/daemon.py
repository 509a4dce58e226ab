"""The process that Spark's Python workers are forked from: Spark's own, with the path as `nightfold.spark` puts it."""

from pyspark.daemon import manager

if __name__ == "__main__":
    manager()
