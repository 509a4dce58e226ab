"""The base of every part of a pipeline file: unknown fields are refused, values never change."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """One mapping of the pipeline file."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
