"""The assignment's page as one HTML file that needs no network: `render(answers, findings, page)`.

Each task opens with paragraphs of `sentences.py` and one figure; the numbers are folded below. A script shows the
picture that a place on a latent plane decodes to, and what `interactive.py` has for it; the page is whole without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from elbowroom.tracking.store.names import Source

from ..figures.panels import Codes, Tiles, class_keys, marks
from ..findings.find import ComparisonFinding, Findings, ModelFinding
from ..latent_space.answers import IN_USE, MIXED_WITH, NEIGHBOURS, Answers, Estimate, Spread
from . import sentences
from .report import (
    MOST_LINES,
    SECTIONS,
    embedded,
    environment,
    image,
    interval,
    link_to,
    number,
    percent,
    script,
)

_ROUNDING = 1e-12  # relative SD of equal numbers after rounding
_PUSH = 1.0  # length of the push in the table, in SDs of the codes
_LEGIBLE = 0.86  # of the width that a figure is drawn for: narrower, its letters are below 9 pixels


class AssignmentPage(NamedTuple):
    """The content of the page beside the answers and the findings.

    figures are PNG files by name, and panels those of them that are latent planes or grids of pictures; live is the
    data of what the script draws, by its place; links returns a run's address by its id, None where it has none;
    made_with has versions by package; note says how to open the store; runs are id and name of each measured run.
    """

    figures: Mapping[str, bytes]
    panels: Mapping[str, Codes | Tiles]
    live: Mapping[str, Mapping[str, Any]]
    links: Callable[[str], str | None]
    command: str
    made_with: Mapping[str, str]
    note: str
    runs: Sequence[tuple[str, str]]


def render(answers: Answers, findings: Findings, page: AssignmentPage) -> str:
    """Return the page.

    Parameters
    ----------
    answers
        What the measured runs tell.
    findings
        Those of the same runs; the first comparison is shown.
    page
        Figures, links and versions.

    Returns
    -------
    str
        HTML.
    """
    finding = findings.comparisons[0]
    made = environment()
    made.filters |= {
        "plus_minus": _plus_minus,
        "estimate": _estimate,
        "fixed": _fixed,
        "portion": _portion,
    }
    real = next((c.sharpness for c in answers.controls if c.source == Source.REAL), None)
    planes = {role: [name for name in page.figures if name.startswith(f"plane {role} ")] for role in answers.cast}
    return made.get_template("assignment.html.j2").render(
        answers=answers,
        findings=findings,
        finding=finding,
        page=page,
        shown=answers.shown,
        cast=answers.cast,
        said={
            "ae": sentences.about_repeats(answers),
            "pca": sentences.about_pca(answers),
            "dim3": sentences.about_dim3(finding, answers.cast),
            "vae": sentences.about_vae(answers),
        },
        most=MOST_LINES,
        neighbours=NEIGHBOURS,
        mixed_with=MIXED_WITH,
        in_use=IN_USE,
        push=_PUSH,
        legible=_LEGIBLE,
        image=lambda name: image(page.figures[name]),
        marks=marks,
        keys=class_keys(answers.classes),
        first_plane={role: names[0] for role, names in planes.items() if names},
        runs_of={row.label: row.names for row in answers.repeats if row.dim3 == answers.shown[0]},
        link=lambda run_id: link_to(page.links(run_id)),
        commonest=next((m.commonest for m in answers.maps if m.commonest is not None), None),
        sharpness=lambda found: _sharpness(found, real),
        pushes={(row.label, row.dim3): _pushed(row) for row in answers.robust},
        main=[g for g in answers.generators if g.main],
        others=[g for g in answers.generators if not g.main],
        labels=list(dict.fromkeys(g.label for g in answers.generators)),
        curves=curves_of(finding, answers.shown),
        criteria=list(dict.fromkeys(c for m in finding.models if m.verdict for c in m.verdict.criteria)),
        captions={s.name: s.plot.caption for s in SECTIONS if s.plot is not None},
        latent_space_caption=next(s.plot.live for s in SECTIONS if s.plot is not None and s.name == "codes"),
        script=script("page.js", "plane.js"),
        data=embedded(page.live),
    )


def curves_of(finding: ComparisonFinding, shown: Sequence[int]) -> list[ModelFinding]:
    """Return the models that were scanned, and not only trained at the dim3 that are shown."""
    return [m for m in finding.models if {p.dim3 for p in m.points} - set(shown) or len(finding.models) == 1]


def _pushed(row: Any) -> float | None:
    """Return the error after a push of one SD over that without one, None where it was not measured."""
    known = _PUSH in row.lengths and row.errors[0] > 0
    return row.errors[row.lengths.index(_PUSH)] / row.errors[0] if known else None


def _sharpness(found: Spread | None, real: Spread | None) -> str:
    """Return the sharpness of samples as a share of that of real rows."""
    if found is None or real is None or real.mean <= 0:
        return "–"
    return percent(found.mean / real.mean)


def _plus_minus(found: Spread | None) -> str:
    """Return mean ± SD: `0.0414 ± 0.0005`; the mean alone for one run, a dash for None."""
    if found is None:
        return "–"
    if found.sd is None:
        return number(found.mean)
    return f"{number(found.mean)} ± {number(0 if found.sd < _ROUNDING * abs(found.mean) else found.sd, 2)}"


def _portion(found: Spread | None) -> str:
    """Return mean ± SD of a share, with three decimals; a dash for None."""
    if found is None:
        return "–"
    return _fixed(found.mean) + ("" if found.sd is None else f" ± {_fixed(found.sd)}")


def _estimate(found: Estimate | None) -> str:
    """Return a number with its interval, a dash for None."""
    return "–" if found is None else interval(found.value, (found.low, found.high))


def _fixed(value: float | None) -> str:
    """Return a number with three decimals, a dash for None."""
    return "–" if value is None else f"{value:.3f}"
