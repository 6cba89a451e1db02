"""The report as one HTML file that needs no network, and no script to be read: `render(findings, page) -> str`.

What came from a store is text that strangers wrote: it is escaped, cut, and cleared of control characters.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import floor, inf, isfinite, log10
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure

from elbowroom.tracking.store.names import METRICS, Column, Metric
from elbowroom.tracking.store.text import clean, ranges

from ..figures.curves import (
    DPI,
    is_beyond,
    pictured,
    plot_cost,
    plot_elbo,
    plot_equivalent,
    plot_error,
    plot_nested,
    plot_pictures,
    plot_ratio,
)
from ..figures.latent_space import plot_codes
from ..findings.against_pca import Equivalent
from ..findings.find import BY_NEIGHBOURS, ComparisonFinding, Findings, ModelFinding, Point
from ..purposes import PURPOSES, Rule, in_order
from ..purposes.choice import Choice

_TEMPLATES = Path(__file__).parent / "templates"
_MOST_RUNS = 500  # rows of the table; `result.json` has all
MOST_LINES = 50  # of a list
MOST_COMPARISONS = 12
_MOST_BYTES = 2_400_000  # of PNG files; base64 makes them a third larger, and a report stays under 5 MB
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MOST_ENCODED = 3_700_000  # characters of all figures and of the script's data
_LONGEST = 600  # letters of a text
_LONGEST_NAME = 120
_CSS_DPI = 96  # pixels an inch
_LEAST_PLAIN = 1e-6  # numbers below are written with an exponent
_CONTENT = ("features", "generate", "rank")  # purposes that may need other dim3 than a share of the variance
_MOST_NAMED = 12  # models in the text of a figure
_UNBIASED = 10  # dimensions: of 20 true ones TwoNN finds 17.2 and maximum likelihood 15.2


class RunLine(NamedTuple):
    """One row of the table of runs; None where an unusable run has no such number."""

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
    """The content of a report beside the findings.

    figures are PNG files by name of the comparison and of the section; live is the data of what the script draws, by
    the place on the page; links returns a run's address by its id, None
    where it has none; made_with has versions by package; note says how to open the store; registered names the
    registered model, or says why there is none.
    """

    title: str
    figures: Mapping[str, Mapping[str, bytes]]
    live: Mapping[str, Mapping[str, Any]]
    links: Callable[[str], str | None]
    command: str
    made_with: Mapping[str, str]
    note: str
    runs: Sequence[RunLine]
    registered: str


class Plot(NamedTuple):
    """The figure of a section, `figures/<section>.png`; alt returns the alternative text, with numbers.

    live is the caption of what the script shows in place of the figure, if it does; a figure of pictures keeps its
    colours in the dark.
    """

    draw: Callable[[ComparisonFinding], Figure | None]
    alt: Callable[[ComparisonFinding], str]
    caption: str
    live: str = ""
    pictures: bool = False


class _Table(NamedTuple):
    """A table of short texts and numbers; a wide one has long texts, which are wrapped."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str | int]]
    caption: str = ""
    wide: bool = False


class _Listing(NamedTuple):
    """A list of sentences, or of runs with a sentence each; the page shows the first MOST_LINES."""

    items: Sequence[str | tuple[str, str, str]]  # a sentence, or a run's id, its name and a sentence
    heading: str = ""


class Section(NamedTuple):
    """A section of the report on one comparison; the page omits it where figure, tables and lists are all empty.

    The figure of a section that is not folded stands at the top of the page.
    """

    name: str
    title: str
    intro: str = ""
    plot: Plot | None = None
    table: Callable[[ComparisonFinding], Sequence[_Table]] = lambda comparison: ()
    listing: Callable[[ComparisonFinding], Sequence[_Listing]] = lambda comparison: ()
    folded: bool = True


class _Shown(NamedTuple):
    """A section with the content of one comparison; alt is empty without a figure, image None beyond _MOST_BYTES."""

    section: Section
    alt: str
    image: _Image | None
    tables: Sequence[_Table]
    listings: Sequence[_Listing]


class _Image(NamedTuple):
    """A PNG inside a page, and its width in CSS pixels at its own resolution."""

    uri: _Uri
    width: int


class _Uri(str):
    """A data URI, which the template does not truncate."""


def image(png: bytes) -> _Image:
    """Return a PNG file as an image inside a page."""
    pixels = int.from_bytes(png[16:20])  # the width in a PNG header
    return _Image(_Uri(f"data:image/png;base64,{base64.b64encode(png).decode()}"), round(pixels * _CSS_DPI / DPI))


def render(findings: Findings, page: Page) -> str:
    """Return the whole page."""
    shown = findings.comparisons[:MOST_COMPARISONS]
    return environment().get_template("report.html.j2").render(
        findings=findings,
        page=page,
        rule=Rule.parse(findings.rule),
        comparisons=shown,
        more_comparisons=len(findings.comparisons) - len(shown),
        sections=_sections(shown, page),
        differing=_differing(findings.comparisons),
        purposes=[purposes(comparison) for comparison in shown],
        unknown=[unknown(comparison) for comparison in shown],
        disagreements=[disagreements(comparison) for comparison in shown],
        runs=page.runs[:_MOST_RUNS],
        more_runs=max(len(page.runs) - _MOST_RUNS, 0),
        most=MOST_LINES,
        link=lambda run_id: link_to(page.links(run_id)),
        script=script("page.js"),
        data=embedded(page.live),
    )  # fmt: skip


class Script(NamedTuple):
    """The script of a page, and the policy under which a browser runs it and nothing else."""

    text: str
    policy: str


@cache
def script(*names: str) -> Script:
    """Return scripts of the templates as one, with the policy of its page."""
    text = "\n".join((_TEMPLATES / name).read_text("utf-8") for name in names)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(text, f"{_POLICY}; script-src 'sha256-{digest}'")


def room_for_live(figures: Iterable[bytes], most: float = _MOST_BYTES) -> int:
    """Return the characters that the data of the script may take beside the figures, of which a page has `most` bytes.

    They are at most 3 MB; there may be none.
    """
    taken = int(min(sum(map(len, figures)), most))
    return min(3_000_000, _MOST_ENCODED - taken * 4 // 3)


def embedded(data: Mapping[str, Any]) -> str:
    """Return data as JSON for an element of a page, which no text in it can end."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def environment() -> Environment:
    """Return the templates' environment, in which strings are escaped, truncated and free of control characters."""
    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: (
            clean(value, _LONGEST).replace(" %", "\N{NO-BREAK SPACE}%") if type(value) is str else value
        ),
    )
    made.filters |= {
        "number": number,
        "percent": percent,
        "angle": angle,
        "worth": worth,
        "name": lambda text: clean(text, _LONGEST_NAME),
        "beyond_sentence": beyond_sentence,
        "columns_sentence": columns_sentence,
        "elbo_sentence": _elbo_sentence,
        "elbow_sentence": elbow_sentence,
        "choice": choice_text,
        "noise_sentence": _noise_sentence,
        "count": lambda value: "–" if value is None else f"{value:,.0f}",
        "ranges": ranges,
    }
    return made


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits, a whole number for 0 or from 1000 on; a dash for None or nan."""
    if value is None or not isfinite(value):
        return "–"
    size = abs(value)
    if size >= 1000 or size == 0 or digits == 0:
        return f"{value:,.0f}"
    if size < _LEAST_PLAIN:
        return f"{value:.{digits - 1}e}"
    return f"{value:.{max(digits - 1 - floor(log10(size)), 0)}f}"


def percent(share: float | None) -> str:
    """Return a share as `48.8 %`, a dash for None."""
    return "–" if share is None else f"{100 * share:.1f} %"


def angle(degrees: float) -> str:
    """Return an angle as `0.19°`; one that is rounding is 0."""
    return "0°" if degrees < 1e-6 else f"{number(degrees, 2)}°"


def interval(value: float | None, ends: tuple[float | None, float | None]) -> str:
    """Return `0.0142 [0.0139, 0.0145]`, `0.0142, no interval`, or a dash where there is no value."""
    if value is None:
        return "–"
    return (
        f"{number(value)}, no interval" if None in ends else f"{number(value)} [{number(ends[0])}, {number(ends[1])}]"
    )


def worth(found: Equivalent | None) -> str:
    """Return a PCA-equivalent dimension with its interval; `> 784` where 784 components have a larger error."""
    if found is None:
        return "–"
    beyond = f"> {found.most}"
    value = beyond if found.components is None else number(found.components)
    if found.low is None:
        return value if found.components is None else f"{value}, no interval"
    return f"{value} [{number(found.low)}, {beyond if found.high is None else number(found.high)}]"


def columns_sentence(model: ModelFinding, least: float = 0.0) -> str:
    """Say how much of the variance one column has, from `least` on, and what half of the columns keep; or nothing."""
    if model.columns is None or model.columns[0] <= least:
        return ""
    largest, median = model.columns
    half = f"at least {100 * median:.3g} %" if median > 0 else "nothing"
    return f"Half of the columns keep {half} of their own variance; the largest has {100 * largest:.3g} % of the total"


def _elbo_sentence(model: ModelFinding) -> str:
    """Return a sentence on the -ELBO: its minimum and its elbow; empty where there is none.

    A rule of relative gains does not apply: the zero of the -ELBO is arbitrary.
    """
    elbo = [(p.metrics.get(Metric.VAL_ELBO), p.dim3) for p in model.points]
    known = [(-value, dim3) for value, dim3 in elbo if value is not None]
    if not known:
        return ""
    least, dim3 = min(known)
    said = f"{model.label} by its validation -ELBO: least at dim3 = {dim3} ({least:.4g} nats per row)"
    corner = model.elbo_verdict
    if corner is not None:
        said += f", {'no elbow' if corner.dim3 is None else f'an elbow at {_corner(corner.dim3, corner.interval)}'}"
    gaps = [(gap, p.dim3) for p in model.points if (gap := p.metrics.get(Metric.WEIGHTED_BOUND)) is not None]
    higher = [found for found in gaps if found[0] > 0.001]  # in older runs, with one draw for the ELBO, it may be below
    parts = []
    if higher:
        at = " to ".join(f"{gap:.3g} at dim3 {k}" for gap, k in dict.fromkeys((min(higher), max(higher))))
        parts.append(f"higher by {at} (nats per test row)")
    if equal := [k for gap, k in gaps if (gap, k) not in higher]:
        parts.append(f"equal up to noise at dim3 {ranges(equal)}")
    return f"{said}; the importance-weighted bound of 64 draws is {' and '.join(parts)}" if parts else said


def _noise_sentence(model: ModelFinding) -> str:
    """Say that a share counts noise, where a dim3 that is no less than the rank does not keep it; else nothing."""
    most = min((_ends(c, model)[1] for c in model.purposes if c.purpose == "rank" and c.reached), default=inf)
    if model.choice.purpose != "keep" or not model.choice.reached or (model.choice.below or 0) < most:
        return ""
    better = f"Hidden entries are predicted no better with dim3 over {most:.0f}"
    return f"{better}: what larger dim3 add is noise, or lies in one column alone"


def elbow_sentence(model: ModelFinding) -> str:
    """Return the sentence on a model's elbow; empty where the sentence on its choice is the same."""
    return "" if model.choice.purpose == "elbow" else model.elbow


def beyond_sentence(comparison: ComparisonFinding) -> str:
    """Name the choices that lie beyond their curve, so that the plot has no star for them; or nothing."""
    beyond = [f"{model.label} {model.choice.choice}" for model in comparison.models if is_beyond(model)]
    return f"Choices beyond their curve, without a star: {', '.join(beyond)}" if beyond else ""


def by_rule(comparison: ComparisonFinding) -> tuple[list[Rule], list[dict[str, Choice]]]:
    """Return the rules of the table, and the choices of each model by the rule's text."""
    found = [{c.rule: c for c in m.purposes} for m in comparison.models]
    return in_order(Rule.parse(rule) for choices in found for rule in choices), found


def purposes(comparison: ComparisonFinding) -> _Table:
    """Return the choice of each model for each purpose, with its 95 % interval."""
    rules, found = by_rule(comparison)
    rows = [
        (rule.words, *(choice_text(choices[rule.text]) if rule.text in choices else "–" for choices in found))
        for rule in rules
    ]
    return _Table(["dim3 to …", *(m.label for m in comparison.models)], rows)


def choice_text(choice: Choice) -> str:
    """Return a choice as `20 [16, 20]`, or why there is none."""
    if choice.choice is None:
        return "–" if choice.missing else "none" if choice.below is None else f"not by {choice.below}"
    if choice.interval is None:
        return str(choice.choice)
    return "{} [{}, {}]".format(choice.choice, *("…" if end is None else end for end in choice.interval))


def unknown(comparison: ComparisonFinding) -> list[str]:
    """Return why there is no answer for a purpose: each reason once with its models, and none that a sentence says."""
    rules, found = by_rule(comparison)
    labels: dict[str, dict[str, None]] = {}
    for rule in rules:
        for model, choices in zip(comparison.models, found, strict=True):
            why = choices[rule.text].missing if rule.text in choices else PURPOSES[rule.purpose].only
            if why not in ("", model.choice.missing):
                labels.setdefault(why, {})[model.label] = None
    return [f"{', '.join(models)}: {why}" for why, models in labels.items()]


def disagreements(comparison: ComparisonFinding) -> list[str]:
    """Say for each model which dim3 its purposes need, where their intervals have no dim3 in common."""
    said = []
    for model in comparison.models:
        mine = [c for c in model.purposes if c.purpose in _CONTENT or c is model.choice]
        reached = [c for c in mine if c.reached and c.interval]
        ends = [_ends(c, model) for c in reached]
        if max((low for low, _ in ends), default=0) > min((high for _, high in ends), default=0):
            parts = [f"{c.choice} to {Rule.parse(c.rule).words}" for c in reached]
            said.append(f"{model.label} {', '.join(parts)}")
    return said


def _ends(choice: Choice, model: ModelFinding) -> tuple[float, float]:
    """Return the least and the largest dim3 that a choice leaves possible, scanned or not."""
    low, high = choice.interval or (None, None)
    known = [*(p.dim3 for p in model.points), choice.below or 0]
    return 1 + max((k for k in known if k < (low or 0)), default=-1), inf if high is None else high


def _criteria(comparison: ComparisonFinding) -> list[_Table]:
    """Return a table of the criteria: each one's answer for each model."""
    models = comparison.models
    names = dict.fromkeys(name for m in models if m.verdict for name in m.verdict.criteria)
    spectrum = dict.fromkeys(name for m in models for name in m.spectrum_criteria)
    rows = {
        "this report's elbow": [_elbow(m) for m in models],
        "where returns diminish (gain:0.05)": ["–" if m.verdict is None else _answer(m.verdict.choice) for m in models],
    }
    for name in names:
        found = [{} if m.verdict is None else m.verdict.criteria for m in models]
        rows[name.replace("_", " ")] = [
            _answer(f[name], m) if name in f else "–" for f, m in zip(found, models, strict=True)
        ]
    for name in spectrum:
        rows[name] = [_answer(m.spectrum_criteria[name]) if name in m.spectrum_criteria else "–" for m in models]
    rows["how far kneedle follows the range"] = [_elasticity(m) for m in models]
    return [_Table(["criterion", *(m.label for m in models)], [(name, *answers) for name, answers in rows.items()])]


def _elbow(model: ModelFinding) -> str:
    return "no verdict" if model.verdict is None else _corner(model.verdict.dim3, model.verdict.interval)


def _corner(dim3: int | None, interval: tuple[int, int] | None) -> str:
    """Return a corner with its interval: `8 [7, 9]`."""
    if dim3 is None:
        return "none"
    return str(dim3) if interval is None else "{} [{}, {}]".format(dim3, *interval)


def _elasticity(model: ModelFinding) -> str:
    found = None if model.verdict is None else model.verdict.elasticity
    return "–" if found is None else f"{round(found, 2) + 0:.2f}"


def _answer(dim3: int | None, model: ModelFinding | None = None) -> str:
    """Return the dim3 that a criterion gives, and whether the range of the model's dim3 ends there."""
    if dim3 is None:
        return "no answer"
    at_end = model is not None and model.points and dim3 == model.points[-1].dim3
    return f"{dim3} (end of the range)" if at_end else str(dim3)


def link_to(address: str | None) -> str | None:
    """Return an http or https address, else None: escaping does not make `javascript:` harmless."""
    return address if address is not None and address.startswith(("http://", "https://")) else None


def _differing(comparisons: Sequence[ComparisonFinding]) -> list[str]:
    """Return the settings that differ between comparisons."""
    names = sorted({name for c in comparisons for name in c.settings})
    return [n for n in names if len({c.settings.get(n) for c in comparisons if n in c.settings}) > 1]


def _sections(comparisons: Sequence[ComparisonFinding], page: Page) -> list[list[_Shown]]:
    """Return the sections of each comparison that have content. Figures are included in order, up to _MOST_BYTES."""
    made: list[list[_Shown]] = [[] for _ in comparisons]
    room = _MOST_BYTES
    for section in SECTIONS:
        for comparison, mine in zip(comparisons, made, strict=True):
            alt, picture, png = "", None, page.figures.get(comparison.name, {}).get(section.name)
            if png is not None and section.plot is not None:
                alt = section.plot.alt(comparison)
                if len(png) <= room:
                    picture = image(png)
                    room -= len(png)
            tables = [table for table in section.table(comparison) if table.rows]
            listings = [listing for listing in section.listing(comparison) if listing.items]
            if alt or tables or listings:
                mine.append(_Shown(section, alt, picture, tables, listings))
    return made


def _numbers(comparison: ComparisonFinding) -> list[_Table]:
    """Return a table for each model: errors and metrics by dim3."""
    tables = []
    for model in comparison.models:
        columns = _columns("numbers", model.points)
        heads = ["dim3", comparison.error_name, "SD", "test error", "seeds", *(c.label for c in columns.values())]
        rows: list[tuple[str | int, ...]] = [
            (
                p.dim3,
                interval(p.error, (p.low, p.high)),
                number(p.sd, 2),
                number(p.test),
                p.seeds,
                *_metrics(p, columns),
            )
            for p in model.points
        ]
        tables.append(_Table(heads, rows, f"{model.label}, loss {model.loss}" if model.loss else model.label))
    return tables


def _columns(section: str, points: Sequence[Point]) -> dict[Metric, Column]:
    """Return the columns of a section's table, those that have a number at one of the points."""
    mine = {metric: column for metric, column in METRICS.items() if column.section == section}
    return {m: column for m, column in mine.items() if any(p.metrics.get(m) is not None for p in points)}


def _metrics(point: Point, columns: Mapping[Metric, Column]) -> list[str]:
    found = [(point.metrics.get(metric), column) for metric, column in columns.items()]
    return [number(None if value is None else c.factor * value, c.digits) for value, c in found]


def _intrinsic(comparison: ComparisonFinding) -> list[_Listing]:
    said = ", ".join(f"{name} {_with_error(name, comparison)}" for name in comparison.intrinsic)
    return [_Listing([f"The data's dimension by other methods: {said}."] if said else [])]


def _with_error(name: str, comparison: ComparisonFinding) -> str:
    """Return an intrinsic dimension: `13.6 ± 0.2 (SE; 9,998 rows; biased low above 10)`."""
    value, error, rows = comparison.intrinsic[name], comparison.intrinsic_se.get(name), comparison.intrinsic_rows
    if name not in BY_NEIGHBOURS.values():
        return number(value)
    spread = "" if error is None else f" ± {number(error, 1)}"
    notes = ["" if error is None else "SE", "" if rows is None else f"{rows:,} rows"]
    notes.append(f"biased low above {_UNBIASED}" if value > _UNBIASED else "")
    said = "; ".join(note for note in notes if note)
    return f"{number(value)}{spread}{f' ({said})' if said else ''}"


def _against(comparison: ComparisonFinding) -> list[_Table]:
    heads = ["dim3", "test error", "PCA's", "ratio", "errs", "equivalent, raw", "equivalent, clipped"]
    tables = []
    for model in comparison.models:
        rows = []
        for a in model.against:
            ratio, of = interval(a.ratio, (a.low, a.high)), "" if a.method else " (this network)"
            errs = "–" if a.ratio is None else a.errs + of
            rows.append((a.dim3, number(a.error), number(a.pca), ratio, errs, worth(a.raw), worth(a.clipped)))
        tables.append(_Table(heads, rows, model.label))
    return tables


def _nested_tables(comparison: ComparisonFinding) -> list[_Table]:
    tables = []
    for nested in comparison.nested:
        seeds = f"{len(nested.seeds)} seed{'s' * (len(nested.seeds) > 1)}"
        caption = f"{nested.label}, {seeds}: {number(nested.fit_seconds)} s a training"
        if nested.dedicated:
            caption += (
                f"; {nested.replaced} {nested.dedicated} runs: {number(nested.dedicated_seconds)} s; "
                f"cost ratio {number(nested.cost)}"
            )
        rows = []
        for p in nested.points:
            ends = "–" if p.least is None else f"{number(p.least)} to {number(p.most)}"
            gap = "–" if p.gap is None else f"{100 * p.gap:+.1f} %"
            rows.append((p.dim3, number(p.error), ends, number(p.dedicated), gap))
        heads = ["dim3", "one training", "least and most of its seeds", nested.dedicated or "dedicated", "gap"]
        tables.append(_Table(heads, rows, caption))
    return tables


def _nested_sentences(comparison: ComparisonFinding) -> list[_Listing]:
    return [_Listing([f"{n.sentence}.{f' Caution: {n.caution}.' if n.caution else ''}" for n in comparison.nested])]


def _costs(comparison: ComparisonFinding) -> list[_Table]:
    columns = _columns("cost", [p for model in comparison.models for p in model.points])
    heads = ["model", "dim3", *(column.label for column in columns.values()), "bytes per code", "test error"]
    rows: list[tuple[str | int, ...]] = [
        (model.label, p.dim3, *_metrics(p, columns), p.bytes_per_code, number(p.test))
        for model in comparison.models
        for p in model.points
    ]
    return [_Table(heads, rows)]


def _incomplete(comparison: ComparisonFinding) -> list[_Listing]:
    listings = [
        _Listing([f"dim3 {dim3}: {why}" for dim3, why in m.undertrained.items()], f"{m.label} looks undertrained")
        for m in comparison.models
    ]
    listings += [
        _Listing([f"dim3 {k}: {count:.1f} in use" for k, count in m.unused.items()], f"{m.label} has unused latents")
        for m in comparison.models
    ]
    listings.append(_Listing(comparison.missing, f"Missing: {len(comparison.missing)}"))
    listings.append(_Listing(comparison.doubled, f"Doubled: {len(comparison.doubled)}, the latest counts"))
    return listings


def _settings(comparison: ComparisonFinding) -> list[_Table]:
    rows = list(comparison.settings.items())
    for model in comparison.models:
        seeds = ", ".join(map(str, model.seeds[:MOST_LINES])) or "no seed has every dim3"
        rows.append((f"seeds of {model.label}", seeds if model.trained else "none: the fit is deterministic"))
    return [_Table((), rows, wide=True)]


def _alt(heading: str, say: Callable[[ModelFinding], str]) -> Callable[[ComparisonFinding], str]:
    """Return a function that makes the alternative text of a figure from a text for each model."""

    def alt(comparison: ComparisonFinding) -> str:
        said = [f"{model.label}: {text}" for model in comparison.models[:_MOST_NAMED] if (text := say(model))]
        return f"{heading}. {'; '.join(said)}."

    return alt


def _error_alt(comparison: ComparisonFinding) -> str:
    opinions = ", ".join(f"{name} {number(value)}" for name, value in comparison.intrinsic.items())
    said = _alt("Error against dim3", _say_error)(comparison)
    return f"{said} The data's dimension by other methods: {opinions}." if opinions else said


def _pictures_alt(comparison: ComparisonFinding) -> str:
    labels = ", ".join(model.label for model in comparison.models[:_MOST_NAMED])
    return f"Test rows, and their reconstructions at dim3 {pictured(comparison)} by {labels}."


def _codes_alt(comparison: ComparisonFinding) -> str:
    labels = ", ".join(model.label for model in comparison.models[:_MOST_NAMED])
    return f"Codes of the first test rows by {labels}."


def _nested_alt(comparison: ComparisonFinding) -> str:
    return f"Test error against dim3. {'. '.join(nested.sentence for nested in comparison.nested)}."


def _say_error(model: ModelFinding) -> str:
    text = _from_to([(p.dim3, p.error) for p in model.points])
    return (
        f"{text}, elbow {_elbow(model)}, choice {'none' if model.choice.choice is None else choice_text(model.choice)}"
    )


def _say_worth(model: ModelFinding) -> str:
    found = [(a.dim3, e) for a in model.against if (e := a.raw or a.clipped) is not None]
    ends = [found[0], found[-1]] if len(found) > 1 else found
    return ", ".join(f"dim3 {k} is worth {worth(e)} components" for k, e in ends)


def _say_cost(model: ModelFinding) -> str:
    seconds, parameters = _metric_ends(model, Metric.FIT_SECONDS), _metric_ends(model, Metric.PARAMETERS)
    return ", ".join(f"{what} {text}" for what, text in (("seconds", seconds), ("parameters", parameters)) if text)


def _from_to(values: Iterable[tuple[int, float | None]]) -> str:
    """Return the ends of a curve as text: `0.0559 at dim3 2, 0.0239 at 20`."""
    known = [(k, v) for k, v in values if v is not None]
    if not known:
        return ""
    (first, start), (last, end) = known[0], known[-1]
    return f"{number(start)} at dim3 {first}" + (f", {number(end)} at {last}" if last != first else "")


def _metric_ends(model: ModelFinding, metric: Metric, sign: int = 1) -> str:
    values = [(p.dim3, p.metrics.get(metric)) for p in model.points]
    return _from_to([(dim3, None if value is None else sign * value) for dim3, value in values])


SECTIONS = [
    Section(
        "error",
        "Error against dim3",
        plot=Plot(
            plot_error,
            _error_alt,
            "Each mark is the mean error at one dim3; lines are dotted over dim3 without a run. A star is a model's "
            "choice, a bracket on the axis its 95 % interval, a dashed line a clear corner of the curve. Above stands "
            "the dimension of the data by other methods.",
            live="Each mark is the mean error at one dim3, with a bar for its 95 % interval; hollow marks are "
            "undertrained or leave latents unused, and lines are dotted over dim3 without a run. A star is a model's "
            "choice, the bar on the axis its 95 % interval, and the dashed line the quality to reach. Point at a mark, "
            "or tap it, for its numbers and its run.",
        ),
        folded=False,
    ),
    Section(
        "equivalent",
        "Worth in principal components",
        plot=Plot(
            plot_equivalent,
            _alt("Principal components with the same test error", _say_worth),
            "A mark is the number of principal components with which PCA has the model's test error. Above the dotted "
            "line the model errs less than PCA of the same dim3.",
        ),
        folded=False,
    ),
    Section(
        "pictures",
        "Reconstructions",
        plot=Plot(
            plot_pictures,
            _pictures_alt,
            "The same test rows, and their reconstruction by each model at the same dim3.",
            live="The first test rows, and their reconstruction by the first seed of each model; the numbers are means "
            "over seeds and over all held-out rows.",
            pictures=True,
        ),
        folded=False,
    ),
    Section(
        "codes",
        "Latent space",
        plot=Plot(
            plot_codes,
            _codes_alt,
            "The codes of the first test rows, coloured by class: up to two latents as they are, of more the first two "
            "principal axes, with the share of the codes' variance that they hold.",
            live="The codes of the first test rows, by the first seed of each model. Point at one, tap it, or use the "
            "arrow keys: its picture, class and number (from 0) appear, and a ring marks the same row in every panel. "
            "Of more than two latents a panel shows the first two principal axes, with the share of the codes' "
            "variance that they hold. Each panel has its own scale.",
        ),
        folded=False,
    ),
    Section(
        "numbers",
        "The numbers",
        "Errors are mean squared errors per column, means over seeds; in brackets the 95 % interval, over rows and "
        "trainings from two seeds on, else over rows alone; other training rows are not covered. SD: that over "
        "seeds. Variance kept: the share of the test rows' variance about the training mean; of a VAE by "
        "decode(mean), the reconstruction, and by decode(sample), a code drawn from the posterior. Rate: KL / ln 2.",
        table=_numbers,
    ),
    Section(
        "criteria",
        "What other criteria say",
        "These criteria always give an answer, and most answers depend on the scanned range, so none of them is the "
        "verdict. How far kneedle follows the range: 0 where its answer stays the same as the range grows, 1 where "
        "it grows in proportion to the range, 0.5 for an error of 1/dim3.",
        table=_criteria,
        listing=_intrinsic,
    ),
    Section(
        "ratio",
        "Against PCA",
        "Ratio: the test error over PCA's at the same dim3, paired by row, each dim3 by itself; its interval is over "
        "rows and trainings from two seeds on, else over the rows of this network. Equivalent: the number of principal "
        "components with the same test error, with PCA's reconstructions unchanged (raw) and clipped to [0, 1] "
        "(clipped). Equivalent in mean squared error only. > 64 means that even 64 components have a larger error.",
        Plot(
            plot_ratio,
            _alt("Test error over PCA's", lambda m: _from_to([(a.dim3, a.ratio) for a in m.against])),
            "Each mark is the ratio at one dim3. Below 1 a model errs less than PCA of the same dim3.",
        ),
        table=_against,
    ),
    Section(
        "elbo",
        "The variational models by their own measure",
        "The negative evidence lower bound on the validation rows, in nats per row, and the units in use, whose KL "
        "exceeds 0.05 nat (in older runs: whose mean varies by more than 0.01): the squared error does not see unused "
        "latents of a VAE. With binary cross-entropy on grey pixels it has a floor above 0 and is no log-likelihood: "
        "compare it only among VAEs of the same data and loss.",
        Plot(
            plot_elbo,
            _alt("Validation -ELBO in nats per row", lambda m: _metric_ends(m, Metric.VAL_ELBO, -1)),
            "The -ELBO against dim3, of which less is better, and below it how many latents are in use.",
        ),
    ),
    Section(
        "nested",
        "The whole curve from one training",
        "A model whose latents are ordered by importance gives the error of every smaller dim3, from its first "
        "latents alone. Test errors, means over seeds.",
        Plot(
            plot_nested,
            _nested_alt,
            "The test error, and below it by how much the first latents of one model err more than a model trained for "
            "that dim3.",
        ),
        table=_nested_tables,
        listing=_nested_sentences,
    ),
    Section(
        "cost",
        "Cost",
        plot=Plot(
            plot_cost,
            _alt("Test error against seconds and parameters", _say_cost),
            "Each mark is one dim3 of a model. Lower and farther left is better.",
        ),
        table=_costs,
    ),
    Section("same_loss", "With the loss held fixed", listing=lambda comparison: [_Listing(comparison.same_loss)]),
    Section("incomplete", "Undertrained, missing and doubled cells; unused latents", listing=_incomplete),
    Section("settings", "Settings and seeds", table=_settings),
]
"""The sections of a report, in the order of the page."""
