"""The skeleton of a page: one file, no script, no request to anywhere, light and dark, every text escaped.

Build HTML with these functions only: they escape what they are given, and return `Html`, which is not escaped again.
"""

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

CSP = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"

_STYLE = (resources.files("nightfold.reports") / "page.css").read_text(encoding="utf-8")


class Html(str):
    """Text that is HTML already."""

    __slots__ = ()


def text(value: object) -> Html:
    """Escaped, unless it is HTML already."""
    return value if isinstance(value, Html) else Html(escape(str(value), quote=True))


def join(parts: Iterable[object], between: str = "") -> Html:
    """One after another."""
    return Html(between.join(text(part) for part in parts))


def tag(name: str, *content: object, cls: str = "", ident: str = "", title: str = "") -> Html:
    """An element; its content is escaped unless it is HTML already."""
    marks = "".join(
        f' {key}="{escape(value, quote=True)}"' for key, value in (("class", cls), ("id", ident), ("title", title)) if value
    )
    return Html(f"<{name}{marks}>{join(content)}</{name}>")


def page(*, title: str, subtitle: object, contents: Sequence[tuple[str, str]], body: Iterable[object]) -> str:
    """A whole page.

    :param contents: (id, words) of each section, for the table of contents
    """
    links = join(Html(f'<a href="#{escape(ident, quote=True)}">{escape(words)}</a>') for ident, words in contents)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{CSP}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="referrer" content="no-referrer">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body><main>"
        f'<h1>{escape(title)}</h1><p class="soft">{text(subtitle)}</p><nav aria-label="Contents">{links}</nav>\n'
        + "\n".join(text(part) for part in body)
        + "\n</main></body></html>\n"
    )


def section(ident: str, heading: str, *content: object) -> Html:
    """A part of the page that the table of contents can name."""
    return join([tag("h2", heading, ident=ident), *content], "\n")


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numeric: Iterable[int] = (),
    whole: Iterable[int] = (),
    hot: Iterable[int] = (),
) -> Html:
    """A table that scrolls sideways on a narrow screen.

    :param numeric: columns to set flush right
    :param whole: columns whose cells stay in one line: ids
    :param hot: rows to mark
    """
    kinds, marked = dict.fromkeys(whole, "w") | dict.fromkeys(numeric, "n"), set(hot)
    heads = join(tag("th", cell, cls=kinds.get(i, "")) for i, cell in enumerate(head))
    body = join(
        tag(
            "tr",
            *(tag("td", cell, cls=kinds.get(i, "")) for i, cell in enumerate(row)),
            cls="hot" if place in marked else "",
        )
        for place, row in enumerate(rows)
    )
    return tag("div", tag("table", tag("thead", tag("tr", heads)), tag("tbody", body)), cls="scroll")


def bars(rows: Iterable[tuple[object, float, str, str]]) -> Html:
    """Labelled bars: (label, share of the longest in [0, 1], number, number)."""
    cells = []
    for label, share, first, second in rows:
        bar = Html(f'<div class="bar"><i style="width:{100 * min(max(share, 0.0), 1.0):.1f}%"></i></div>')
        cells += [tag("div", label, cls="v", title=str(label)), bar, tag("div", first, cls="n"), tag("div", second, cls="n soft")]
    return tag("div", *cells, cls="bars")


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Small figures in a row: word and number."""
    return tag("div", *(tag("span", words, " ", tag("b", value)) for words, value in pairs), cls="facts")


def figure(svg: Html, caption: object = "") -> Html:
    """A plot in a card, with its explanation below."""
    return tag("figure", svg, *([tag("figcaption", caption)] if caption else []), cls="card")


def anchor(name: str) -> str:
    """An id for a section out of any name."""
    return "s-" + "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
