"""The pipeline file, typed."""

from nightfold.pipeline.load import files, json_schema, load, named
from nightfold.pipeline.model import Pipeline
from nightfold.pipeline.sources import Column, FileSource, TableSource

__all__ = ["Column", "FileSource", "Pipeline", "TableSource", "files", "json_schema", "load", "named"]
