"""profile: clean -> a page that a person would want before trusting the data, and the same numbers as JSON.

Reads   ingest                             what it noticed of deliveries that changed or came late
        clean (roll-up), clean/<source>    every night up to `ds`, or tonight's snapshot
        rejected/<source>                  tonight's rows, a few as examples
Writes  profile/report.html                self-contained, with plots
        profile/profile.json               the numbers: see nightfold/reports/figures.py
Raises  ErasedMeanwhile                    somebody was erased while it read; of what it finds in the data it tells, others judge
"""

import json
from collections.abc import Mapping
from typing import Any

from nightfold import changes, forgotten, rollup
from nightfold.lake import Manifest
from nightfold.pipeline import FileSource, TableSource
from nightfold.reports import drift, eda, figures
from nightfold.reports.figures import Found
from nightfold.reports.measures import Bins, bins_for
from nightfold.spark import layers, profiling
from nightfold.spark.job import Job, Outcome, run
from nightfold.spark.profiling import Field

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

EXAMPLES = 10  # rejected rows shown per source: enough to see what is wrong, few enough that a page holds little of anybody
RECENT_PARTITIONS = 2  # for 29 nights' rows out of a year's
EXAMPLE_LETTERS = 200  # of each of their values


def layer(spark: SparkSession, job: Job, name: str, rolled: Manifest) -> DataFrame:
    """One source's clean rows: every night up to `ds`, or tonight's snapshot."""
    source = job.pipeline.sources[name]
    folders = rollup.folders(rolled, name, since="" if source.nightly else job.ds, until=job.ds)
    return layers.nights(spark, job.pipeline, job.lake, f"clean/{name}", folders)


def rejected(spark: SparkSession, job: Job, name: str) -> list[dict[str, str | None]]:
    """A few of tonight's rejected rows."""
    manifest = job.lake.find(f"rejected/{name}", job.ds)
    if manifest is None or not manifest.data or not job.lake.exists(manifest.data):  # retention.raw_days, when it is an old night
        return []
    rows = layers.nights(spark, job.pipeline, job.lake, f"rejected/{name}", [manifest.data])
    return profiling.examples(rows, limit=EXAMPLES, letters=EXAMPLE_LETTERS)


def reasons(job: Job, name: str, delivered: Mapping[str, int], rolled: Manifest) -> dict[str, dict[str, int]]:
    """Night → reason → rows, from the manifests of the very nights that the roll-up names."""
    prints = {night: entry["fingerprint"] for night, entry in rolled.facts["sources"][name].items()}
    manifests = job.lake.find_all(f"clean/{name}", delivered)
    return {night: m.facts["by_reason"] for night, m in manifests.items() if m.fingerprint == prints[night]}


def histogram_bins(columns: list[Field], nights: Mapping[str, Any], overall: Mapping[str, Any]) -> dict[str, Bins]:
    """Where the histograms' bins begin and end."""
    result = {}
    for field in columns:
        if field.kind == "text" or not overall[field.name]["quantiles"]:
            continue
        whole = figures.pooled_column(nights, field.name)
        result[field.name] = bins_for(
            low=whole["min"], high=whole["max"], quantiles=overall[field.name]["quantiles"], step=profiling.step(field)
        )
    return result


def measured(
    frame: DataFrame, source: FileSource | TableSource, columns: list[Field], *, ds: str, counted: list[str]
) -> dict[str, Any]:
    """All figures of one source's prepared rows, by the names that `Found` gives them."""
    since = drift.since(ds)
    names = {f.key: f.name for f in columns}
    nights = profiling.by_night(frame, columns)
    overall = profiling.overall(frame, columns)
    bins = histogram_bins(columns, nights, overall)
    values = profiling.counted_values(frame, columns, ds=ds, since=since).persist(StorageLevel.MEMORY_AND_DISK)
    top = profiling.top(values, by="rows")
    found = {
        "nights": nights,
        "distinct": profiling.distinct_by_night(frame, columns, counted=counted),
        "overall": overall,
        "bins": bins,
        "histograms": profiling.histograms(frame, columns, bins),
        "top": {names[key]: [row.asDict() for row in rows] for key, rows in top.items()},
        "tails": {names[key]: tail for key, tail in profiling.tails(values).items()},
        "week_hours": profiling.week_hours(values) if profiling.WEEK_HOUR in frame.columns else None,
        "correlations": profiling.correlations(frame, columns),
    }
    if source.nightly:
        recent = frame.where((F.col("night") >= since) & (F.col("night") <= ds)).coalesce(RECENT_PARTITIONS)
        found |= held_against(recent, columns, usual=profiling.top(values, by="before"), ds=ds)
    values.unpersist()
    return found


def held_against(recent: DataFrame, columns: list[Field], *, usual: Mapping[str, list[Row]], ds: str) -> dict[str, Any]:
    """What tonight is held against: the medians, and the classes of a PSI in tonight's and the 28 nights' rows."""
    medians = profiling.medians(recent, columns, ds=ds)
    names = {f.key: f.name for f in columns}
    values = {names[key]: [row["value"] for row in rows] for key, rows in usual.items()}
    shown = {names[key]: [row["label"] for row in rows] for key, rows in usual.items()}
    edges = {name: sorted(set(found["deciles_before"])) for name, found in medians.items()}
    labels = {name: figures.labels(values=found) for name, found in shown.items()}
    labels |= {name: figures.labels(edges=found) for name, found in edges.items()}
    return {"medians": medians, "classes": profiling.classes(recent, columns, values=values, edges=edges), "labels": labels}


def look(spark: SparkSession, job: Job, name: str, rolled: Manifest) -> Found:
    """Everything about one source."""
    source, roles = job.pipeline.sources[name], job.pipeline.roles(name)
    columns = profiling.fields(source)
    delivered = {night: rows for night, rows in rollup.rows(rolled, name).items() if night <= job.ds}
    counted = [roles[role] for role in ("user", "item") if role in roles]
    frame = profiling.prepared(layer(spark, job, name, rolled), columns, time=roles.get("time")).persist(
        StorageLevel.MEMORY_AND_DISK
    )
    found = measured(frame, source, columns, ds=job.ds, counted=counted)
    frame.unpersist()
    noticed = job.lake.get("ingest", job.ds).facts["changes"]
    return Found(
        delivered=delivered,
        by_reason=reasons(job, name, delivered, rolled),
        examples=rejected(spark, job, name),
        changes=[{"done": c["done"], "text": changes.words(c)} for c in noticed if c["source"] == name],
        **found,
    )


def main(spark: SparkSession, job: Job) -> Outcome:
    before = forgotten.read(job.lake)
    rolled = job.lake.get("clean", job.ds)
    profile = figures.profile(job.pipeline, job.ds, {name: look(spark, job, name, rolled) for name in job.pipeline.sources})
    report, numbers = f"{job.place}/report.html", f"{job.place}/profile.json"
    job.lake.write_text(numbers, json.dumps(profile, allow_nan=False, ensure_ascii=False) + "\n")
    job.lake.write_text(report, eda.render(profile))
    forgotten.unless_erased_since(job.lake, before, (numbers, report))
    act, all_found = sum(f["level"] == "act" for f in profile["attention"]), len(profile["attention"])
    rows = sum(source["rows"] for source in profile["sources"].values())
    return Outcome(
        summary=f"{len(profile['sources'])} sources, {rows:,} rows up to {job.ds}; {all_found} things to look at, {act} of them grave",
        rows=rows,
        facts={"report": report, "json": numbers, "attention": profile["attention"][:EXAMPLES]},
    )


if __name__ == "__main__":
    run("profile", main)
