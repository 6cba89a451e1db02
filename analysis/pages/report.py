"""The report as one HTML file that needs no network and no script: `render(findings, page) -> str`.

What came from a store is text that strangers wrote: it is escaped, cut, and cleared of control characters.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import islice
from math import floor, isfinite, log10
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from elbowroom.tracking.store.text import clean

from ..elbow import Verdict
from ..figures.curves import DPI
from ..findings.against_pca import Equivalent, ranges
from ..findings.find import ComparisonFinding, Findings, ModelFinding

TEMPLATES = Path(__file__).parent / "templates"
MOST_RUNS = 500  # in the table; the others are in result.json
MOST_LINES = 50  # of a list
MOST_COMPARISONS = 12
MOST_BYTES = 2_600_000  # of pictures, which base64 makes a third larger: a report stays under 5 MB
LONGEST = 600  # letters of a text
LONGEST_NAME = 120
CSS_DPI = 96  # pixels an inch, of every browser
LEAST_PLAIN = 1e-6  # numbers below are written with an exponent
# In the order in which they may use up the bytes.
CAPTIONS = {
    "error": "Lower is better. A dashed line is a corner that no smooth curve explains, a star the dim3 to use. "
    "Above: how many dimensions the data have by other methods.",
    "equivalent": "How many principal components PCA needs for the same test error: above the dotted line, a model is "
    "worth more than PCA of the same dim3.",
    "pictures": "The same test rows, and what each model makes of them at the same dim3.",
    "ratio": "Below 1 a model errs less than PCA at the same dim3.",
    "elbo": "Above: lower is better. Below: how many of the latent dimensions are in use.",
    "nested": "Above: lower is better. Below: by how much the parts of one model err more than models trained "
    "for their dim3.",
    "cost": "Lower is better, and so is farther to the left.",
}
FIRST = ("error", "equivalent")  # on the first page, side by side


class RunLine(NamedTuple):
    """One line of the table of runs; None where a run that was left out has no such number."""

    run_id: str
    name: str
    status: str
    model: str
    dim3: int | None
    seed: int | None
    error: float | None
    test: float | None
    seconds: float | None


class Page(NamedTuple):
    """What stands in a report beside the findings.

    figures: PNG by comparison's name and figure's name; links: a run's address by its id; command: how the report
    was made; made_with: versions; note: how to go on from here; registered: the model in the registry, or why there
    is none; pictures_at: the dim3 of the pictures, by comparison's name.
    """

    title: str
    figures: Mapping[str, Mapping[str, bytes]]
    links: Callable[[str], str | None]
    command: str
    made_with: Mapping[str, str]
    note: str
    runs: Sequence[RunLine]
    registered: str
    pictures_at: Mapping[str, int] = {}


class Picture(NamedTuple):
    """A figure as the page shows it; image is None where there was no room for it."""

    name: str
    caption: str
    alt: str
    image: Image | None


class Image(NamedTuple):
    """A PNG inside a page, and the width in CSS pixels at which its letters have the size they were drawn in."""

    uri: Uri
    width: int


class Uri(str):
    """A data URI: not cut as other texts are."""


def image(png: bytes) -> Image:
    """A PNG to be put into a page."""
    pixels = int.from_bytes(png[16:20])  # where every PNG says its width
    return Image(Uri(f"data:image/png;base64,{base64.b64encode(png).decode()}"), round(pixels * CSS_DPI / DPI))


def render(findings: Findings, page: Page) -> str:
    """The whole page."""
    shown = findings.comparisons[:MOST_COMPARISONS]
    return environment().get_template("report.html.j2").render(
        findings=findings,
        page=page,
        comparisons=shown,
        more_comparisons=len(findings.comparisons) - len(shown),
        pictures=_pictures(shown, page),
        differing=_differing(findings.comparisons),
        first=FIRST,
        runs=page.runs[:MOST_RUNS],
        more_runs=max(len(page.runs) - MOST_RUNS, 0),
        most=MOST_LINES,
        link=lambda run_id: link_to(page.links(run_id)),
    )  # fmt: skip


@cache
def environment() -> Environment:
    """Templates in which everything from a store is escaped, cut and cleaned."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: clean(value, LONGEST) if type(value) is str else value,
    )
    made.filters |= {
        "number": number,
        "interval": interval,
        "worth": worth,
        "name": lambda text: clean(text, LONGEST_NAME),
        "elbo_sentence": elbo_sentence,
        "criteria": criteria,
        "count": lambda value: "–" if value is None else f"{value:,.0f}",
        "ranges": ranges,
    }
    return made


def number(value: float | None, digits: int = 3) -> str:
    """To three significant digits, whole from a thousand; a dash where there is none."""
    if value is None or not isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1000 or size == 0:
        return f"{value:,.0f}"
    if size < LEAST_PLAIN:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(digits - 1 - floor(log10(size)), 0)}f}"


def interval(value: float | None, low: float | None, high: float | None, digits: int = 3) -> str:
    """`0.0142 [0.0139, 0.0145]`, or that there is no interval."""
    if value is None:
        return "–"
    if low is None or high is None:
        return f"{number(value, digits)}, no interval"
    return f"{number(value, digits)} [{number(low, digits)}, {number(high, digits)}]"


def worth(found: Equivalent | None) -> str:
    """A PCA-equivalent dimension; `> 784` where even the most components have a larger error."""
    if found is None:
        return "–"
    beyond = f"> {found.most}"
    value = beyond if found.components is None else number(found.components)
    if found.low is None:
        return value if found.components is None else f"{value}, no interval"
    return f"{value} [{number(found.low)}, {beyond if found.high is None else number(found.high)}]"


def elbo_sentence(model: ModelFinding) -> str:
    """What the -ELBO says, empty where there is none.

    Its zero means nothing, so a rule of relative gains has no say here: the least one and the corner do.
    """
    known = [(p.negative_elbo, p.dim3) for p in model.points if p.negative_elbo is not None]
    if not known:
        return ""
    least, dim3 = min(known)
    corner = None if model.elbo_verdict is None else model.elbo_verdict.dim3
    elbow = "no elbow" if corner is None else f"an elbow at {_elbow(model.elbo_verdict)}"
    return f"{model.label} by its validation -ELBO: least at dim3 = {dim3} ({least:.4g} nats per row), {elbow}"


def criteria(comparison: ComparisonFinding) -> list[tuple[str, list[str]]]:
    """The table of criteria: a row each, a column for each model; what a model has not is a dash."""
    names = dict.fromkeys(name for m in comparison.models if m.verdict for name in m.verdict.criteria)
    spectrum = dict.fromkeys(name for m in comparison.models for name in m.spectrum_criteria)
    chosen = [{"choice": m.verdict.choice} if m.verdict else {} for m in comparison.models]
    rows = [
        ("this report's elbow", [_elbow(m.verdict) for m in comparison.models]),
        ("this report's choice", [_answer(m, "choice", c) for m, c in zip(comparison.models, chosen, strict=True)]),
    ]
    for name in names:
        found = [_answer(m, name, m.verdict.criteria if m.verdict else {}) for m in comparison.models]
        rows.append((name.replace("_", " "), found))
    for name in spectrum:
        rows.append((name, [_answer(m, name, m.spectrum_criteria, in_range=False) for m in comparison.models]))
    rows.append(("how far kneedle follows the range", [_elasticity(m.verdict) for m in comparison.models]))
    return rows


def _elbow(verdict: Verdict | None) -> str:
    if verdict is None:
        return "no verdict"
    if verdict.dim3 is None:
        return "none"
    return str(verdict.dim3) if verdict.interval is None else "{} [{}, {}]".format(verdict.dim3, *verdict.interval)


def _elasticity(verdict: Verdict | None) -> str:
    found = None if verdict is None else verdict.elasticity
    return "–" if found is None else f"{round(found, 2) + 0:.2f}"


def _answer(model: ModelFinding, name: str, found: Mapping[str, int | None], *, in_range: bool = True) -> str:
    if name not in found:
        return "–"
    value = found[name]
    if value is None:
        return "no answer"
    at_end = in_range and model.points and value == model.points[-1].dim3
    return f"{value} (end of the range)" if at_end else str(value)


def link_to(address: str | None) -> str | None:
    """An address that a browser may follow: escaping does not make `javascript:` harmless."""
    return address if address is not None and address.startswith(("http://", "https://")) else None


def _differing(comparisons: Sequence[ComparisonFinding]) -> list[str]:
    """The settings by which comparisons differ."""
    names = sorted({name for c in comparisons for name in c.settings})
    return [n for n in names if len({c.settings.get(n) for c in comparisons if n in c.settings}) > 1]


def _pictures(comparisons: Sequence[ComparisonFinding], page: Page) -> list[dict[str, Picture]]:
    """The figures of each comparison by name, those of the first page first, as long as there is room for them."""
    made: list[dict[str, Picture]] = [{} for _ in comparisons]
    room = MOST_BYTES
    for name, caption in CAPTIONS.items():
        for comparison, mine in zip(comparisons, made, strict=True):
            png = page.figures.get(comparison.name, {}).get(name)
            if png is None:
                continue
            fits = len(png) <= room
            room -= len(png) if fits else 0
            said = alt(name, comparison, page.pictures_at.get(comparison.name))
            mine[name] = Picture(name, caption, said, image(png) if fits else None)
    return made


def alt(name: str, comparison: ComparisonFinding, pictures_at: int | None = None) -> str:
    """What a figure shows, in numbers."""
    models = list(islice(comparison.models, 12))
    if name == "pictures":
        at = "equal dim3" if pictures_at is None else f"dim3 {pictures_at}"
        labels = ", ".join(m.label for m in models)
        return f"Test rows, and their reconstructions at {at} by {labels}."
    if name == "nested":
        return f"Test error against dim3. {'. '.join(n.sentence for n in comparison.nested)}."
    heading, say = _ALTS[name]
    said = [f"{m.label}: {text}" for m in models if (text := say(m))]
    opinions = ", ".join(f"{n} {number(v)}" for n, v in comparison.intrinsic.items()) if name == "error" else ""
    return f"{heading}. {'; '.join(said)}." + (f" The data's own dimension: {opinions}." if opinions else "")


def _say_error(model: ModelFinding) -> str:
    text = _from_to([(p.dim3, p.error) for p in model.points])
    if model.verdict is not None:
        text += f", elbow {_elbow(model.verdict)}, choice {model.verdict.choice or 'none'}"
    return text


def _say_worth(model: ModelFinding) -> str:
    found = [(a.dim3, e) for a in model.against if (e := a.raw or a.clipped) is not None]
    ends = [found[0], found[-1]] if len(found) > 1 else found
    return ", ".join(f"dim3 {k} is worth {worth(e)} components" for k, e in ends)


def _say_cost(model: ModelFinding) -> str:
    seconds = _from_to([(p.dim3, p.fit_seconds) for p in model.points])
    parameters = _from_to([(p.dim3, p.parameters) for p in model.points])
    return ", ".join(f"{what} {text}" for what, text in (("seconds", seconds), ("parameters", parameters)) if text)


def _from_to(values: Iterable[tuple[int, float | None]]) -> str:
    """`0.0559 at dim3 2, 0.0239 at 20`: the ends of a curve."""
    known = [(k, v) for k, v in values if v is not None]
    if not known:
        return ""
    (first, start), (last, end) = known[0], known[-1]
    return f"{number(start)} at dim3 {first}" + (f", {number(end)} at {last}" if last != first else "")


_ALTS: dict[str, tuple[str, Callable[[ModelFinding], str]]] = {
    "error": ("Error against dim3", _say_error),
    "equivalent": ("Principal components with the same test error", _say_worth),
    "ratio": ("Test error over PCA's", lambda m: _from_to([(a.dim3, a.ratio) for a in m.against])),
    "elbo": ("Validation -ELBO in nats per row", lambda m: _from_to([(p.dim3, p.negative_elbo) for p in m.points])),
    "cost": ("Test error against seconds and parameters", _say_cost),
}
