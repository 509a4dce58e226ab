"""The gate: tonight's challenger beside the champion and every baseline, and whether the data are to be trusted.

Pure: figures in, a verdict out. A comparison passes when the whole paired interval is above its margin, fails when it is whole below,
and is open otherwise. What is open stops a challenger only where the champion is proven, or where the mean is below the margin of the
champion: a small shop's nights go on.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nightfold.champion import CHALLENGER, REFUSED, Champion
from nightfold.pipeline.gate import Gate

PROMOTED, HELD = "promoted", "held"
PASSED, FAILED, OPEN = "passed", "failed", "open"

FEW = 100
"""Of fewer users, or rows of a day, one cannot tell what is odd."""

Interval = Mapping[str, float]


@dataclass(frozen=True)
class Check:
    """One thing that the gate looks at."""

    name: str
    outcome: str
    words: str
    """What was found, and what is asked for."""


def checked(name: str, passed: bool, words: str) -> Check:
    """A check that leaves nothing open."""
    return Check(name, PASSED if passed else FAILED, words)


@dataclass(frozen=True)
class Verdict:
    """What becomes of the night."""

    outcome: str
    serve: dict[str, Any]
    """Whose lists: {"kind": "challenger"}, a champion's `recipe`, {"kind": "baseline", "name"}, or {} when refused."""
    reason: str
    """In one line."""
    checks: list[Check] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def judge(figures: Mapping[str, Any], gate: Gate, baselines: list[str], champion: Champion | None) -> Verdict:
    """The verdict on a night.

    :param figures: `metric` (its name), `larger_is_better` (absent: True), `users` (how many were judged), `systems` (name → metric →
        mean), `differences` (baseline, or "champion" → interval of how much better the challenger is, on the same users),
        `champion_differences` (baseline → interval of how much better the champion is), `champion_kept` (whether its model is there),
        `ceiling` (the metric of a perfect ordering), `data` (users, active_users, last_day,
        compared_day, last_day_users, usual_users, last_day_rows, repeated), `features` (digest of their names, and of what the model
        answers), `measured` (digest of what the metric is of)
    """
    sane = [*_leaks(figures, gate, champion), *_data(figures, gate, champion)]
    margins = gate.beat if gate.beat is not None else dict.fromkeys(baselines, 0.0)
    beaten = [_compared(name, figures["differences"][name], margin) for name, margin in margins.items()]
    theirs = figures["differences"].get("champion")
    against = [_compared("champion", theirs, gate.champion)] if theirs is not None else []
    checks = [*sane, *beaten, *against]
    wrong = [check for check in sane if check.outcome == FAILED]
    if wrong:
        return Verdict(REFUSED, {}, "; ".join(check.words for check in wrong), checks)
    proven = {check.name for check in beaten if _is_proven(check.name, figures, margins, champion)}
    short = [check for check in beaten if check.outcome == FAILED or (check.outcome == OPEN and check.name in proven)]
    short += [check for check in against if check.outcome == FAILED or theirs["mean"] < gate.champion]
    why = "; ".join(check.words for check in short or beaten if check.outcome != PASSED)
    if not short:
        return Verdict(PROMOTED, CHALLENGER, f"{_promoted(champion)}{f'; {why}' if why else ''}", checks)
    stranger = _stranger(champion, baselines)
    if champion is None or stranger:
        sign = 1 if figures.get("larger_is_better", True) else -1
        best = max(baselines, key=lambda name: (sign * figures["systems"][name][figures["metric"]]["mean"], -baselines.index(name)))
        first = f"the champion, {stranger}, is no baseline of this pipeline any more" if stranger else "first night"
        return Verdict(HELD, {"kind": "baseline", "name": best}, f"{first}: the best baseline, {best}, is published: {why}", checks)
    if trouble := _champion_is_no_help(figures, margins, champion):
        return Verdict(REFUSED, {}, f"{why}; {trouble}", checks)
    return Verdict(
        HELD, dict(champion.recipe or {}), f"the champion of night {champion.night} scores tonight's data: {why}", checks
    )


def _stranger(champion: Champion | None, baselines: list[str]) -> str:
    """The champion, where it is a baseline that the pipeline has no more; else empty."""
    recipe = champion.recipe if champion is not None else None
    return str(recipe["name"]) if recipe is not None and recipe["kind"] == "baseline" and recipe["name"] not in baselines else ""


def _is_it(baseline: str, champion: Champion | None) -> bool:
    """Whether the champion is this baseline itself."""
    recipe = champion.recipe if champion is not None else None
    return recipe is not None and recipe["kind"] == "baseline" and recipe["name"] == baseline


def _is_proven(baseline: str, figures: Mapping[str, Any], margins: Mapping[str, float], champion: Champion | None) -> bool:
    """Whether the champion beats it, or is it: then who comes after must beat it, too."""
    if _is_it(baseline, champion):
        return True
    found = figures["champion_differences"].get(baseline)
    return found is not None and _outcome(found, margins[baseline]) == PASSED


def _promoted(champion: Champion | None) -> str:
    return (
        "first night: there is no champion to beat"
        if champion is None
        else f"as good as the champion of night {champion.night}, or better"
    )


def _champion_is_no_help(figures: Mapping[str, Any], margins: Mapping[str, float], champion: Champion) -> str:
    """Why the champion cannot score tonight; empty when it can."""
    recipe = champion.recipe
    if recipe is None:
        return f"the champion of night {champion.night} was published by an older release, and cannot score tonight's data"
    if recipe["kind"] == "model" and recipe["features"] != figures["features"]:
        other = "was trained on other features, or to answer something else"
        return f"the champion of night {champion.night} {other}: it cannot score tonight's data"
    if recipe["kind"] == "model" and not figures["champion_kept"]:
        return f"the champion's model, of night {recipe['night']}, is no longer in the lake: it cannot score tonight's data"
    for name, margin in margins.items():
        found = figures["champion_differences"].get(name)
        if found is not None and not _is_it(name, champion) and _outcome(found, margin) == FAILED:
            return f"the champion's recipe does not beat {name} either ({_range(found)})"
    return ""


def _compared(name: str, found: Interval, margin: float) -> Check:
    outcome = _outcome(found, margin)
    what = {PASSED: "is beaten", FAILED: "is not beaten", OPEN: "is not proven to be beaten"}[outcome]
    return Check(name, outcome, f"{name} {what} ({_range(found)}; asked for: more than {margin:+.4f})")


def _outcome(found: Interval, margin: float) -> str:
    """Of one recipe with itself the interval is a point, which passes at its margin."""
    if found["low"] > margin or (found["low"] == found["high"] >= margin):
        return PASSED
    return FAILED if found["high"] < margin else OPEN


def _range(found: Interval) -> str:
    return f"{found['mean']:+.4f}, {found['low']:+.4f} to {found['high']:+.4f}"


def _leaks(figures: Mapping[str, Any], gate: Gate, champion: Champion | None) -> Iterator[Check]:
    if figures["users"] < FEW:
        return
    metric = figures["metric"]
    ours = figures["systems"]["recipe"][metric]["mean"]
    if not figures.get("larger_is_better", True):
        yield from _too_exact(figures, gate, ours)
    if (ceiling := figures.get("ceiling")) is not None:
        share = ours / ceiling if ceiling else 0.0
        words = f"{share:.0%} of what a perfect ordering reaches ({ours:.4f} of {ceiling:.4f})"
        yield _believed("too good", share <= gate.too_good, words)
    learned = champion is not None and (champion.recipe is None or champion.recipe["kind"] == "model")
    before = champion.metrics.get(metric) if champion is not None and learned else None  # any model may be far above a baseline
    if champion is not None and before and champion.facts.get("measured") not in (None, figures["measured"]):
        yield checked(
            "jump", True, f"the {metric} of the champion's night {champion.night} is of other days, lists or labels: not compared"
        )
    elif champion is not None and before:
        better, worse = (ours, before) if figures.get("larger_is_better", True) else (before, ours)
        rise = better / max(worse, 1e-12) - 1
        words = f"{metric} {ours:.4f}, {rise:.0%} better than {before:.4f} on the champion's night {champion.night}"
        yield _believed("jump", rise <= gate.jump, words)


def _too_exact(figures: Mapping[str, Any], gate: Gate, ours: float) -> Iterator[Check]:
    """Of an error, which has no ceiling: how much of the worst baseline's is left."""
    metric = figures["metric"]
    errors = {name: found[metric]["mean"] for name, found in figures["systems"].items() if name not in ("recipe", "champion")}
    if not errors:
        return
    worst = max(errors, key=lambda name: errors[name])
    gone = 1 - ours / errors[worst] if errors[worst] else 0.0
    words = f"{gone:.0%} of the {metric} of {worst} are gone ({ours:.4f} of {errors[worst]:.4f})"
    yield _believed("too good", gone <= gate.too_good, words)


def _believed(name: str, ok: bool, words: str) -> Check:
    return checked(name, ok, words if ok else f"too good to be true: {words}: does a feature see the future?")


def _data(figures: Mapping[str, Any], gate: Gate, champion: Champion | None) -> Iterator[Check]:
    data = figures["data"]
    if data["last_day_rows"] >= FEW:
        ok = data["repeated"] < gate.same_day
        words = f"{data['repeated']:.0%} of the last day, {data['last_day']}, had been taken by the same users on the day before"
        yield checked("same day", ok, words if ok else f"yesterday's data again? {words}")
    if (usual := data["usual_users"]) is not None and usual >= FEW:
        users, day = data["last_day_users"], data["compared_day"]
        ok = users / usual >= gate.last_day
        words = f"{users:,} users on the last day, {day}; {usual:,.0f} are usual on that weekday"
        if not users:
            words = (
                f"yesterday's data again? nothing is of {day}, the last rows are of {data['last_day']}, and {usual:,.0f} users are usual: "
                "have the night's own delivery landed, or declare the day closed"
            )
        elif not ok:
            words = f"users have vanished: {words}: is a delivery cut short?"
        yield checked("last day", ok, words)
    if champion is None:
        return
    for kind, name in (("users", "users"), ("active_users", "active users")):
        before = champion.facts.get("data", {}).get(kind)
        if before and before >= FEW:
            share = data[kind] / before
            ok = share >= gate.users
            words = f"{data[kind]:,} {name}, {before:,} on the champion's night {champion.night}"
            yield checked(name, ok, words if ok else f"users have vanished: {words}: is a delivery cut short?")
