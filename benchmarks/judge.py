"""Judge published lists: `python -m benchmarks.judge --pipeline grocery --ds 2017-12-03 [--version V] [--json]`.

Reads   the lists as a reader would, by the command line `nightfold lookup`; the truth from the grocer's package
Prints  NDCG@10, recall@10 and more beside baselines computed here, and whether the difference is more than chance
Raises  nothing was published, it is of another night, or sales after the night are unknown: one line, exit 1

"Known" products: with `--known catalogue` those that have a row in the shop's table; with `--known history` those that
anybody had bought up to the night, as no other could be in a list that is learned from purchases.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import metrics, peers
from benchmarks.peers import Lists
from benchmarks.tables import aligned
from nightfold.errors import BadInput, NightfoldError

import numpy as np

KNOWN = ("catalogue", "history")
NOBODY = "?"  # a key that no household has: its list is the fallback
OURS, RIVAL = "nightfold", "personal frequency"
ALS_ALONE = "ALS alone"  # the rival where only new products count


@dataclass(frozen=True)
class Row:
    """One kind of list, over all judged households."""

    name: str
    ndcg: float
    recall: float
    hit_rate: float
    distinct_items: int
    """In the first 10 of the lists that the judged households got."""
    own_list: float
    """Share of judged households with a list of their own, not the fallback."""
    by_household: np.ndarray = field(repr=False, compare=False)
    """NDCG@10 of each, in the order of the truth."""


@dataclass(frozen=True)
class Verdict:
    """A night's judgement."""

    pipeline: str
    night: str
    version: str
    known: str
    window: tuple[str, str]
    households: int
    rows: list[Row]
    rival: str
    difference: float
    """NDCG@10 of the published lists less the rival's."""
    interval: tuple[float, float]


@dataclass(frozen=True)
class Published:
    """What the store serves, as a reader gets it."""

    night: str
    version: str
    lists: Lists


def judged(name: str, lists: Lists, truth: Mapping[str, Set[str]]) -> Row:
    """Every household of the truth gets its own list, else the fallback."""
    given = {household: lists.of(household)[: metrics.K] for household in truth}
    pairs = [(given[household], bought) for household, bought in truth.items()]
    ndcg = np.array([metrics.ndcg(*pair) for pair in pairs])
    return Row(
        name=name,
        ndcg=float(ndcg.mean()),
        recall=float(np.mean([metrics.recall(*pair) for pair in pairs])),
        hit_rate=float(np.mean([metrics.hit(*pair) for pair in pairs])),
        distinct_items=len(set().union(*given.values())),
        own_list=float(np.mean([household in lists.own for household in truth])),
        by_household=ndcg,
    )


def published(pipeline: str, ds: str, version: str | None) -> Published:
    """All lists of a version (the live one unless it is said), and its fallback.

    Raises BadInput when the version is of another night; NightfoldError with the command's own words when it fails.
    """
    answers = _lookup(pipeline, "--all", version=version)
    served = answers[0]["version"] if answers else version
    fallback = _lookup(pipeline, NOBODY, version=served)[0]
    versions = {(answer["version"], answer["night"]) for answer in [*answers, fallback]}
    if len(versions) != 1:
        raise NightfoldError(f"{pipeline}: the lists are of {sorted(versions)}: another version went live meanwhile, judge again")
    ((served, night),) = versions
    if night != ds:
        raise BadInput(f"{pipeline}: version {served} is of night {night}, not {ds}: give --version (see `nightfold versions`)")
    own = {answer["key"]: _ids(answer) for answer in answers if answer["source"] != "fallback"}
    return Published(night=night, version=served, lists=Lists(own=own, fallback=_ids(fallback)))


def judge(
    pipeline: str, ds: str, *, version: str | None = None, known: Sequence[str] = KNOWN, with_als: bool = False, new: bool = False
) -> list[Verdict]:
    """Judge the lists of one night beside baselines from the history up to it, once for each reading of "known".

    :param new: only products count that the household had never bought; the rival is then ALS alone
    """
    ours = published(pipeline, ds, version)
    lines = peers.purchases()
    history = lines.up_to(ds)
    products = {"catalogue": peers.catalogue(), "history": history.product}
    truths = {reading: peers.truth(lines, ds, known=products[reading]) for reading in known}
    if new:
        truths = {reading: peers.unseen(truth, history) for reading, truth in truths.items()}
        lists = {OURS: ours.lists, ALS_ALONE: peers.als(history, n=metrics.K, new=True)}
        lists["popularity by baskets"] = peers.popular_unseen(history, n=metrics.K)
        return [_verdict(pipeline, ours, lists, truth, known=reading, rival=ALS_ALONE) for reading, truth in truths.items()]
    lists = {OURS: ours.lists, RIVAL: peers.personal_frequency(history, n=metrics.K)}
    for by in ("basket", "household"):
        lists[f"popularity by {by}s"] = Lists(own={}, fallback=peers.popularity(history, by=by, n=metrics.K))
    if with_als:
        lists[ALS_ALONE] = peers.als(history, n=metrics.K)
    return [_verdict(pipeline, ours, lists, truth, known=reading, rival=RIVAL) for reading, truth in truths.items()]


def _verdict(
    pipeline: str, ours: Published, lists: Mapping[str, Lists], truth: Mapping[str, Set[str]], *, known: str, rival: str
) -> Verdict:
    if not truth:
        raise BadInput(f"night {ours.night}: no household bought a known product in the days after: judge another night")
    rows = {name: judged(name, each, truth) for name, each in lists.items()}
    return Verdict(
        pipeline=pipeline,
        night=ours.night,
        version=ours.version,
        known=known,
        window=peers.window(ours.night),
        households=len(truth),
        rows=list(rows.values()),
        rival=rival,
        difference=rows[OURS].ndcg - rows[rival].ndcg,
        interval=metrics.paired_interval(rows[OURS].by_household, rows[rival].by_household),
    )


def as_json(verdict: Verdict) -> dict:
    """The verdict as plain values, without the values of each household."""
    facts = asdict(verdict)
    for row in facts["rows"]:
        del row["by_household"]
    return facts


def as_text(verdict: Verdict) -> str:
    """The verdict for a terminal."""
    first, last = verdict.window
    known = "a product of the catalogue" if verdict.known == "catalogue" else f"a product that was sold up to {verdict.night}"
    new = ", new to them" if verdict.rival == ALS_ALONE else ""
    head = ("list", "NDCG@10", "recall@10", "hit rate", "distinct items", "own list")
    rows = [
        (r.name, f"{r.ndcg:.4f}", f"{r.recall:.4f}", f"{r.hit_rate:.4f}", f"{r.distinct_items:,}", f"{r.own_list:.1%}")
        for r in verdict.rows
    ]
    low, high = verdict.interval
    return "\n".join(
        (
            f"{verdict.pipeline}, night {verdict.night}, version {verdict.version}: lists of {metrics.K}, "
            f"judged on purchases of {first} to {last}",
            f"{verdict.households:,} households with a purchase of {known}{new}",
            aligned([head, *rows]),
            f"{OURS} less {verdict.rival}: {verdict.difference:+.4f} NDCG@{metrics.K}, 95% interval {low:+.4f} to {high:+.4f} "
            f"({metrics.RESAMPLES:,} paired resamples)",
        )
    )


def _ids(answer: dict) -> list[str]:
    return [item["id"] for item in answer["items"]]


def _lookup(pipeline: str, *what: str, version: str | None) -> list[dict]:
    """The answers of `nightfold lookup`, beside this Python."""
    command = [str(Path(sys.executable).parent / "nightfold"), "lookup", pipeline, *what, "--json", "-n", str(metrics.K)]
    command += ["--version", version] if version else []
    if not Path(command[0]).is_file():
        raise NightfoldError("the command nightfold is not installed beside this Python: `make run` or `make test` installs it")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise NightfoldError(lines[-1] if lines else f"nightfold lookup ended with {done.returncode} and said nothing")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.judge", description="Judge published lists of the grocer.")
    parser.add_argument("--pipeline", default="grocery", help="a pipeline that learns from the sample grocer")
    parser.add_argument("--ds", required=True, metavar="YYYY-MM-DD", help="the night whose lists are judged")
    parser.add_argument("--version", metavar="V", help="another version than live")
    parser.add_argument("--known", choices=KNOWN, default=KNOWN[0], help="which products count as bought (default: %(default)s)")
    parser.add_argument("--als", action="store_true", help="also ALS alone, which takes some seconds")
    parser.add_argument("--new", action="store_true", help="only products that a household never bought count; beside ALS alone")
    parser.add_argument("--json", action="store_true", help="print JSON")
    args = parser.parse_args(argv)
    try:
        (verdict,) = judge(args.pipeline, args.ds, version=args.version, known=[args.known], with_als=args.als, new=args.new)
    except NightfoldError as error:
        print(f"benchmarks.judge: {error}", file=sys.stderr)
        return 1
    print(json.dumps(as_json(verdict)) if args.json else as_text(verdict))
    return 0


if __name__ == "__main__":
    sys.exit(main())
