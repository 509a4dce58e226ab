"""Read a pipeline file; refuse a wrong one in one line that names the file, the field and the mend."""

import difflib
import json
from pathlib import Path
from typing import Any, get_args

from nightfold import settings
from nightfold.errors import BadPipeline
from nightfold.pipeline.model import Pipeline

import yaml
from pydantic import BaseModel, ValidationError


def load(path: Path | str) -> Pipeline:
    """The pipeline of one file.

    Raises BadPipeline when it cannot be read or is not valid; the message is one line.
    """
    path = Path(path)
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError as error:
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yaml"))) or "none"
        raise BadPipeline(f"{path}: no such pipeline file; there are: {known}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadPipeline(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise BadPipeline(f"{path}: must be a mapping that starts with 'pipeline: {path.stem}'")
    try:
        pipeline = Pipeline.model_validate(content)
    except ValidationError as error:
        found = [_explain(e) for e in error.errors()]
        raise BadPipeline(f"{path}: {'; '.join(found)}", [f"{path}: {one}" for one in found]) from error
    if pipeline.pipeline != path.stem:
        raise BadPipeline(f"{path}: pipeline: is {pipeline.pipeline!r}; name it {path.stem!r}, or rename the file")
    return pipeline


def named(name: str) -> Pipeline:
    """The pipeline of that name in the folder of pipelines."""
    return load(settings.pipelines_dir() / f"{name}.yaml")


def files() -> list[Path]:
    """Every pipeline file, in order of name."""
    return sorted(settings.pipelines_dir().glob("*.yaml"))


def json_schema() -> str:
    """The JSON schema of a pipeline file, for editors: `pipelines/schema.json`."""
    schema = Pipeline.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2, sort_keys=True) + "\n"


class _Loader(yaml.SafeLoader):
    """YAML without three traps: a key given twice is an error; yes/no/on/off stay strings, and so do dates, possible or not."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the field {key!r} is given twice", node.value[i][0].start_mark
                )
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    letter: [
        (tag, regexp)
        for tag, regexp in resolvers
        if not tag.endswith(":timestamp") and not (tag.endswith(":bool") and letter in "yYnNoO")
    ]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _explain(error: dict[str, Any]) -> str:
    location = error["loc"]
    if location[0:1] == ("sources",):  # after a source's name stands its format: no field of the file
        location = location[:2] + location[3:]
    where = ".".join(str(part) for part in location) or "the file"
    if error["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(error["loc"][-1]), _fields_at(error["loc"][:-1]), n=1)
        return f"{where}: unknown field" + (f"; did you mean {near[0]!r}?" if near else "; remove it")
    if error["type"].startswith("union_tag_"):
        return f"{where}.format: must be one of csv, jsonl, parquet, table"
    if error["type"] == "string_type":
        return f"{where}: must be a string, got {error['input']!r}: put it in quotes"
    if error["type"] == "missing":
        return f"{where}: missing; add it"
    if error["type"] == "value_error":
        return f"{where}: {error['ctx']['error']}".replace("the file: ", "")
    got = "" if isinstance(error["input"], dict | list) else f", got {error['input']!r}"
    return f"{where}: {error['msg'][0].lower()}{error['msg'][1:]}{got}"


def _fields_at(location: tuple) -> list[str]:
    """Names of the fields allowed at a place of the file."""
    here: Any = Pipeline
    for part in location:
        if isinstance(here, type) and issubclass(here, BaseModel) and part in here.model_fields:
            here = here.model_fields[part].annotation
        else:  # a key of a mapping, an index of a list, or the tag of a union: look at what it holds
            here = next((m for m in _models(here) if part in _tags(m)), here)
        models = _models(here)
        if len(models) == 1:
            here = models[0]
    return sorted({name for model in _models(here) for name in model.model_fields})


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _tags(model: type[BaseModel]) -> tuple:
    return get_args(model.model_fields["format"].annotation) if "format" in model.model_fields else ()
