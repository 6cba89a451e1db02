"""The assignment's page as one HTML file that needs no network and no script: `render(answers, findings, page)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from ..findings.find import Findings
from ..latent_space.answers import Answers, Robust, Spread
from ..latent_space.measured import NEIGHBOURS
from . import prose
from .report import MOST_LINES, environment, image, link_to


class AssignmentPage(NamedTuple):
    """The parts of the page beside the answers."""

    figures: Mapping[str, bytes]
    """PNG files by name."""
    links: Callable[[str], str | None]
    """Gives a run's address by its id."""
    command: str
    """The command that made the page."""
    made_with: Mapping[str, str]
    """Versions by package."""
    note: str
    """How to go on."""
    runs: Sequence[tuple[str, str]]
    """Id and name of each measured run."""


def share(found: Spread | None) -> str:
    """A mean share in per cent."""
    return "–" if found is None else prose.percent(found.mean)


def render(answers: Answers, findings: Findings, page: AssignmentPage) -> str:
    """The whole page."""
    finding = findings.comparisons[0]
    made = environment()
    made.filters |= {
        "plus_minus": prose.plus_minus,
        "estimate": prose.estimate,
        "share": share,
        "fixed": prose.fixed,
        "portion": prose.portion,
    }
    clashes = [text for refit in answers.refits if (text := prose.about_clash(refit))]
    return made.get_template("assignment.html.j2").render(
        answers=answers,
        findings=findings,
        finding=finding,
        page=page,
        shown=answers.shown,
        most=MOST_LINES,
        neighbours=NEIGHBOURS,
        image=lambda name: image(page.figures[name]),
        link=lambda run_id: link_to(page.links(run_id)),
        repeats=_repeats(answers),
        clash=clashes[0] if clashes else "",
        maps=prose.about_maps(answers.maps),
        commonest=next((m.commonest for m in answers.maps if m.commonest is not None), None),
        refits=[text for refit in answers.refits for text in prose.about_refit(refit)],
        curves=prose.about_curves(finding),
        draws=prose.about_draws(answers),
        priors=prose.about_priors(answers.priors),
        robust=prose.about_robustness(_alive(answers)),
        smooth=prose.about_smoothness(answers.smooth),
        health=prose.about_health(answers.health),
        made=prose.about_generators(answers),
        main=[g for g in answers.generators if g.main],
        others=[g for g in answers.generators if not g.main],
    )


def _alive(answers: Answers) -> list[Robust]:
    """Leave out collapsed models, whose decoder ignores its codes and so looks robust."""
    dead = {(h.label, h.dim3) for h in answers.health if h.collapsed}
    return [r for r in answers.robust if (r.label, r.dim3) not in dead]


def _repeats(answers: Answers) -> list[tuple[str, list[str]]]:
    """Return each model's sentences about its repeats, for all dim3 shown."""
    by_label: dict[str, list[str]] = {}
    for found in answers.repeats:
        by_label.setdefault(found.label, []).extend(prose.about_repeats(found))
    return list(by_label.items())
