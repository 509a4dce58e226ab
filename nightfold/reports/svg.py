"""A plot as inline SVG: text stays text, and colours are the page's CSS variables, so that it follows light and dark.

Matplotlib's object interface only: no pyplot, nothing global, safe in a server's threads.
"""

import io
import re
from collections.abc import Callable
from html import escape

from nightfold.reports.page import Html
from nightfold.reports.words import number

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

# Stand-ins that matplotlib writes, and the CSS variables put in their place
_COLOURS = {
    "#010101": "ink", "#020202": "soft", "#030303": "line", "#040404": "one", "#050505": "two", "#060606": "three",
    "#070707": "four", "#080808": "bad", "#090909": "shade",
}  # fmt: skip
COLOUR = {name: stand_in for stand_in, name in _COLOURS.items()}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "nightfold",  # ids that are the same twice
    "text.parse_math": False,  # '$' in a shop's data is no formula
    "path.simplify_threshold": 0.5,
    "font.size": 9.5,
    "lines.linewidth": 1.4,
    "legend.frameon": False,
    "text.color": COLOUR["ink"],
    "xtick.color": COLOUR["soft"],
    "ytick.color": COLOUR["soft"],
    "axes.labelcolor": COLOUR["soft"],
    "axes.edgecolor": COLOUR["line"],
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": COLOUR["line"],
    "grid.linewidth": 0.6,
}
_ATTRIBUTE = re.compile(r'="[^"]*"')
_DECIMALS = re.compile(r"(\d+\.\d{2})\d+")  # a hundredth of a point is finer than any screen
_IDS = re.compile(r' id="(?!m[0-9a-f]{10}|p[0-9a-f]{10}|image)[^"]*"')  # markers, clips and images are referred to; groups are not


def svg(draw: Callable[[Axes], None], *, width: float, height: float, words: str) -> Html:
    """What `draw` puts on the axes, `width` by `height` inches of 72 pixels; `words` say what it shows to those who cannot see it."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(float(f"{y:.6g}"))))
        draw(axes)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    return Html(_cleaned(out.getvalue(), words))


def _cleaned(svg: str, words: str) -> str:
    """Only what a browser draws: no prolog, no namespaces, no ids but those referred to, colours by variable."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"| version="1.1"', "", svg).replace("xlink:href", "href")
    svg = _IDS.sub("", svg)
    for stand_in, name in _COLOURS.items():
        svg = svg.replace(stand_in, f"var(--{name})")
    svg = _ATTRIBUTE.sub(
        lambda found: _DECIMALS.sub(r"\1", found[0]), re.sub(r">\s+<", "><", svg)
    )  # never within text: a number there is read
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(words, quote=True)}"', 1).strip()
