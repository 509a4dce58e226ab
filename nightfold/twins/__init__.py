"""Portable twins: what the night has learned, read and applied with numpy and pyarrow alone: no Spark, no JVM, no pickle.

`train` writes them (nightfold/spark/predict/twin.py, nightfold/spark/recommend/twin.py); what serves a model reads them here.
"""
