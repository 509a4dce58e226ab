"""Every dataset's columns and types (Spark SQL names), declared once; checked on write and on read."""

from nightfold.pipeline.sources import FileSource, TableSource

Schema = dict[str, str]

USERS: Schema = {"user": "int", "id": "string"}
ITEMS: Schema = {
    "item": "int",
    "id": "string",
    "allowed": "boolean",
    "available": "boolean",
    "title": "string",
    "category": "string",
    "groups": "array<string>",
}
"""allowed: by the catalogue and the filters; available: and sold lately, as of the night."""
INTERACTIONS: Schema = {"user": "int", "item": "int", "day": "int", "weight": "double", "amount": "float", "discount": "float"}
"""One row per user, item and day (days since 1970-01-01 in the pipeline's zone); weight in baskets."""
SCORES: Schema = {"key": "string", "items": "array<struct<id:string,score:double,why:string>>"}
"""One row per user, best item first. The fallback list has no user: it stands apart."""


def raw(source: FileSource | TableSource) -> Schema:
    """As delivered: strings; what could not be read as a row stands in `_malformed`, with the reason in `_reason`."""
    return {**dict.fromkeys(source.columns, "string"), "_malformed": "string", "_reason": "string", "night": "string"}


def clean(source: FileSource | TableSource) -> Schema:
    """Typed and valid."""
    return {**{name: column.spark_type for name, column in source.columns.items()}, "night": "string"}


def rejected(source: FileSource | TableSource) -> Schema:
    """As delivered, and why it was refused."""
    return raw(source)


def differences(expected: Schema, found: Schema) -> list[str]:
    """Every difference in words; empty when they agree."""
    return [
        *(f"missing {name} {kind}" for name, kind in expected.items() if name not in found),
        *(f"unexpected {name} {kind}" for name, kind in found.items() if name not in expected),
        *(f"{name} is {found[name]}, not {kind}" for name, kind in expected.items() if name in found and found[name] != kind),
    ]
