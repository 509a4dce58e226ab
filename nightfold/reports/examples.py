"""A few users of an evaluation, to be looked at one by one.

Keys of the figures:

    examples     recommend: [{"user", "history": [{"id", "title", "times", "last"}], "list": [{"id", "title", "why", "hit"}]}];
                 classify, regress: [{"user", "label", "said": system → score}], those that the recipe was furthest off
"""

from collections.abc import Iterator, Mapping
from typing import Any

from nightfold.reports.page import Html, table, tag
from nightfold.reports.systems import makes_lists, three
from nightfold.reports.words import NONE, number


def examples(figures: Mapping[str, Any]) -> Iterator[Html]:
    """Histories beside lists, or what was said beside what came true."""
    found = figures.get("examples")
    if not found:
        return
    yield from _lists(found) if makes_lists(figures) else _predictions(found)


def _lists(found: list[Mapping[str, Any]]) -> Iterator[Html]:
    words = "What a user took before the cutoff, and the list made from it. A mark says that it was taken in the test window."
    yield tag("p", words, cls="soft")
    for example in found:
        history = [
            [h["id"], h.get("title") or NONE, number(h.get("times")), h.get("last") or NONE] for h in example.get("history", ())
        ]
        listed = [
            [
                i + 1,
                item["id"],
                item.get("title") or NONE,
                item.get("why") or NONE,
                tag("span", "✓ taken", cls="hit") if item.get("hit") else "",
            ]
            for i, item in enumerate(example.get("list", ()))
        ]
        past = table(("item", "title", "times", "last"), history, numeric=(2,), whole=(0, 3)) if history else tag("p", "Nothing.")
        hits = sum(bool(item.get("hit")) for item in example.get("list", ()))
        yield tag("h3", f"User {example['user']}: {hits} of {len(listed)} taken")
        yield tag(
            "div",
            tag("div", tag("h4", "History"), past, cls="card"),
            tag("div", tag("h4", "List"), table(("", "item", "title", "why", ""), listed, numeric=(0,), whole=(1, 4)), cls="card"),
            cls="pair",
        )


def _predictions(found: list[Mapping[str, Any]]) -> Iterator[Html]:
    systems = list(found[0]["said"])
    rows = [[each["user"], three(each["label"]), *(three(each["said"].get(name)) for name in systems)] for each in found]
    yield tag(
        "p", "Where the recipe was furthest off: what came true in the test window, and what each system had said.", cls="soft"
    )
    yield tag("div", table(("key", "came true", *systems), rows, numeric=range(1, 2 + len(systems)), whole=(0,)), cls="card")
