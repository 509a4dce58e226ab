"""The page of the profile: what a person would want to see before trusting the data."""

from collections.abc import Iterator, Mapping
from typing import Any

from nightfold.reports import column_cards, plots
from nightfold.reports.drift import WEEKDAYS, WINDOW, weekday
from nightfold.reports.page import Html, anchor, bars, facts, figure, join, page, section, table, tag
from nightfold.reports.words import NONE, number, percent

SENTENCES = 25  # shown of what to look at; the JSON has all


def render(profile: Mapping[str, Any]) -> str:
    """The page of a profile (see `figures` for its keys)."""
    night, sources = profile["night"], profile["sources"]
    window = profile["window"]
    subtitle = (
        f"{profile['description']} Night of {weekday(night)} {night} ({profile['timezone']}), held against the {window['nights']} days "
        f"before it, {window['first']} to {window['last']}. The same numbers are in profile.json beside this page."
    )
    names = [("look", "What to look at"), ("sources", "Sources"), *((anchor(name), name) for name in sources)]
    body = [
        section("look", "What to look at", _attention(profile["attention"])),
        section("sources", "Sources", tag("div", _overview(sources), cls="card")),
        *(_source(name, source, profile) for name, source in sources.items()),
    ]
    return page(title=f"{profile['pipeline']}: the data of {night}", subtitle=subtitle, contents=names, body=body)


def _attention(findings: list[Mapping[str, Any]]) -> Html:
    if not findings:
        return tag(
            "p", f"Nothing stands out: volume, missing values, means and distributions are within the {WINDOW} nights before."
        )
    items = [
        tag("li", tag("span", f["level"], cls=f"tag {f['level']}"), tag("span", tag("b", _link(f["source"])), " ", f["text"]))
        for f in findings[:SENTENCES]
    ]
    more = tag("p", f"and {len(findings) - SENTENCES} more, in profile.json", cls="soft") if len(findings) > SENTENCES else ""
    return tag("div", tag("ol", *items, cls="look"), more, cls="card")


def _link(name: str) -> Html:
    return Html(f'<a href="#{anchor(name)}">{join([name])}</a>')


def _overview(sources: Mapping[str, Mapping[str, Any]]) -> Html:
    rows = []
    for name, source in sources.items():
        last = {key: (values[-1] if values else None) for key, values in source["volume"].items() if key != "nights"}
        drift = source["drift"]["volume"]
        nightly = source["delivery"] == "nightly"
        rows.append(
            (
                _link(name),
                source["delivery"],
                number(last["clean"]),
                f"{drift['ratio']:.2f} ×" if nightly and drift["ratio"] is not None else NONE,
                number(last["rejected"]),
                number(last["duplicates"]),
                number(source["rows"]),
                source["first_night"] if nightly else NONE,
                number(len(source["missing_nights"])) if nightly else NONE,
                number(len(source["columns"])),
            )
        )
    head = (
        "source",
        "delivery",
        "rows tonight",
        "of the usual weekday",
        "rejected",
        "duplicates",
        "rows in all",
        "since",
        "missing days",
        "columns",
    )
    return table(head, rows, numeric=(2, 3, 4, 5, 6, 7, 8, 9))


def _source(name: str, source: Mapping[str, Any], profile: Mapping[str, Any]) -> Html:
    return section(anchor(name), name, *_parts(source, profile))


def _parts(source: Mapping[str, Any], profile: Mapping[str, Any]) -> Iterator[Html]:
    if source["delivery"] == "nightly":
        yield from _volume(source, profile)
    else:
        yield tag("p", f"A snapshot of {profile['night']}: {number(source['rows'])} rows.", cls="soft")
    yield from _rejected(source)
    if source["activity"]:
        yield from _activity(source["activity"])
    yield tag("h3", "Columns")
    flagged = {f["column"]: f["level"] for f in reversed(profile["attention"]) if source is profile["sources"].get(f["source"])}
    yield tag("div", *(column_cards.card(c, column, flagged.get(c)) for c, column in source["columns"].items()), cls="grid")
    if source["delivery"] == "nightly":
        yield from column_cards.changes(source["columns"], flagged)
    if source["correlations"]:
        yield from _correlations(source["correlations"])


def _volume(source: Mapping[str, Any], profile: Mapping[str, Any]) -> Iterator[Html]:
    volume, drift = source["volume"], source["drift"]["volume"]
    missing = source["missing_nights"]
    silent = [night for night, rows in zip(volume["nights"], volume["clean"], strict=True) if rows is None and night not in missing]
    counts = {key: volume[key] for key in ("clean", "rejected", "duplicates")}
    window = (profile["window"]["first"], profile["window"]["last"])
    compared = [("tonight", number(drift["tonight"])), (f"mean of {drift['nights']} nights before", number(drift["before"]))]
    if drift["z"] is not None:
        compared.append(("distance", f"{drift['z']:+.1f} sd"))
    if drift["same_weekday"]:
        compared.append((f"{drift['weekday']}s before", ", ".join(number(rows) for rows in drift["same_weekday"])))
    yield tag("h3", "Volume")
    plot = plots.volume(volume["nights"], counts, window=window, closed=silent, missing=missing)
    without = f"Days without a delivery: {', '.join(missing)}." if missing else "No delivery is missing."
    yield figure(plot, join([facts(compared), tag("span", without, f" Declared closed: {', '.join(silent)}." if silent else "")]))
    people = {key: volume[key] for key in ("users", "items") if key in volume}
    if people:
        yield figure(
            plots.lines(volume["nights"], people, label="distinct per day"), "Distinct users and items per day (within 2%)."
        )


def _rejected(source: Mapping[str, Any]) -> Iterator[Html]:
    rejected = source["rejected"]
    reasons = {**rejected["before"], **rejected["tonight"]}
    if not reasons:
        return
    yield tag("h3", "Rejected rows")
    rows = [(reason, number(rejected["tonight"].get(reason, 0)), number(rejected["before"].get(reason, 0))) for reason in reasons]
    yield tag("div", table(("reason", "tonight", "nights before"), rows, numeric=(1, 2)), cls="card")
    if rejected["examples"]:
        head = ["_reason", *(c for c in rejected["examples"][0] if c != "_reason")]
        cells = [[NONE if row[c] is None else row[c] for c in head] for row in rejected["examples"]]
        names = ["reason", *("text of the record" if c == "_malformed" else c for c in head[1:])]
        yield tag("div", tag("p", "A few of tonight's, as they were delivered:", cls="soft small"), table(names, cells), cls="card")


def _activity(activity: Mapping[str, Any]) -> Iterator[Html]:
    yield tag("h3", "Activity")
    who = {name: activity[name] for name in ("users", "items") if activity.get(name) and activity[name]["distinct"]}
    words = []
    for name, found in who.items():
        per, curve = found["per"], found["lorenz"]
        pairs = [
            (name, number(found["distinct"])), ("rows each: median", number(per["p50"])), ("mean", number(per["mean"])),
            ("most", number(per["max"])), ("only once", percent(found["once"] / found["distinct"])),
            ("top 1% have", f"{percent(curve['top_1_percent'])} of rows"), ("top 10%", percent(curve["top_10_percent"])),
            ("Gini", f"{curve['gini']:.2f}"),
        ]  # fmt: skip
        words.append(facts(pairs))
    if who:
        yield tag("div", *words, cls="card")
        yield tag(
            "div",
            figure(
                plots.spread({name: found["spread"] for name, found in who.items()}), "Rows per user and per item, over all nights."
            ),
            figure(
                plots.lorenz({name: found["lorenz"]["curve"] for name, found in who.items()}),
                "The long tail: how few take how much.",
            ),
            cls="pair",
        )
    if activity["week_hours"] and any(map(any, activity["week_hours"])):
        hours = [str(hour) for hour in range(24)]
        plot = plots.matrix(WEEKDAYS, hours, activity["week_hours"], diverging=False, written=False, label="hour of the day")
        days = [sum(row) for row in activity["week_hours"]]
        total, most = sum(days), max(days)
        by_day = bars((day, rows / most, number(rows), percent(rows / total)) for day, rows in zip(WEEKDAYS, days, strict=True))
        yield tag(
            "div",
            figure(plot, "Rows by weekday and hour, over all nights."),
            tag("div", tag("h4", "Rows by weekday"), by_day, cls="card"),
            cls="pair",
        )


def _correlations(found: Mapping[str, Any]) -> Iterator[Html]:
    yield tag("h3", "Correlations")
    names, cells = found["columns"], found["matrix"]
    pairs = sorted(
        ((abs(r), names[i], names[j], r) for i, row in enumerate(cells) for j, r in enumerate(row) if j > i and r is not None),
        key=lambda pair: (-pair[0], pair[1:3]),
    )
    strongest = table(("pair", "Pearson's r"), [(f"{a} and {b}", f"{r:+.3f}") for _, a, b, r in pairs[:8]], numeric=(1,))
    left = f" Left out: {', '.join(found['left_out'])}." if found["left_out"] else ""
    plot = plots.matrix(names, names, cells, diverging=True, written=True)
    yield tag(
        "div",
        figure(plot, f"Pearson's r, over rows where both are there.{left}"),
        tag("div", tag("h4", "Strongest"), strongest, cls="card"),
        cls="pair",
    )
