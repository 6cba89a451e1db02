"""The assignment's page as one HTML file that needs no network and no script: `render(answers, findings, page)`.

Its sentences answer the questions of the assignment, each number from the answers or the findings. What a sentence
claims follows from the numbers by the thresholds below; where they are missing, it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from elbowroom.tracking.store.names import Source

from ..findings.find import ComparisonFinding, Findings, ModelFinding
from ..latent_space.answers import (
    Answers,
    Estimate,
    Generator,
    Health,
    Map,
    Prior,
    Refit,
    Repeats,
    Robust,
    Smooth,
    Spread,
)
from ..latent_space.measured import NEIGHBOURS
from .report import MOST_LINES, environment, image, interval, link_to, number, worth

_ALIKE = 0.05  # disparity up to which two sets of codes are the same
_MOSTLY = 0.2  # disparity after an affine map up to which that map explains most of the difference
_APART = 0.5  # disparity after an affine map from which that map explains nothing
_SAME_ANGLE = 0.01  # degrees that rounding makes
_COVERS = 0.01  # recall from which a generator is named as the most varied
_COVARIANCE_COLUMNS = 1000  # columns up to which scikit-learn may choose the covariance solver
_AMONG = 0.5  # precision of the mean row above which blurred rows lie among the real ones
_PUSH = 1.0  # length of the push in the text, in SDs of the codes


class AssignmentPage(NamedTuple):
    """The content of the page beside the answers and the findings."""

    figures: Mapping[str, bytes]
    """PNG files by name."""
    links: Callable[[str], str | None]
    """Returns a run's address by its id, None where it has none."""
    command: str
    """The command that made the page."""
    made_with: Mapping[str, str]
    """Versions by package."""
    note: str
    """How to open the store."""
    runs: Sequence[tuple[str, str]]
    """Id and name of each measured run."""


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
        "share": _share,
        "fixed": _fixed,
        "portion": _portion,
    }
    clashes = [text for refit in answers.refits if (text := _about_clash(refit))]
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
        maps=_about_maps(answers.maps),
        commonest=next((m.commonest for m in answers.maps if m.commonest is not None), None),
        refits=[text for refit in answers.refits for text in _about_refit(refit)],
        curves=_about_curves(finding),
        draws=_about_draws(answers),
        priors=_about_priors(answers.priors),
        robust=_about_robustness(_alive(answers)),
        smooth=_about_smoothness(answers.smooth),
        health=_about_health(answers.health),
        made=_about_generators(answers),
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
        by_label.setdefault(found.label, []).extend(_about_repeats(found))
    return list(by_label.items())


def _share(found: Spread | None) -> str:
    """Return a mean share in per cent, a dash for None."""
    return "–" if found is None else _percent(found.mean)


def _plus_minus(found: Spread | None) -> str:
    """Return mean ± SD: `0.0414 ± 0.0005`; the mean alone for one run, a dash for None."""
    if found is None:
        return "–"
    return number(found.mean) + ("" if found.sd is None else f" ± {number(found.sd, 2)}")


def _estimate(found: Estimate | None) -> str:
    """Return a number with its interval, a dash for None."""
    return "–" if found is None else interval(found.value, found.low, found.high)


def _percent(value: float) -> str:
    """Return a share in per cent: `12.5 %`."""
    return f"{value:.1%}".replace("%", " %")


def _fixed(value: float | None) -> str:
    """Return a number with three decimals, a dash for None."""
    return "–" if value is None else f"{value:.3f}"


def _portion(found: Spread | None) -> str:
    """Return mean ± SD of a share, with three decimals; a dash for None."""
    return _fixed(None if found is None else found.mean) + (
        "" if found is None or found.sd is None else f" ± {_fixed(found.sd)}"
    )


def _about_repeats(found: Repeats) -> list[str]:
    """Task 1: compare the repeats of one model at one dim3."""
    where = f"{found.label} at dim3 {found.dim3}"
    if found.note:
        return [f"{found.note}."]
    if len(found.names) - len(found.collapsed) < 2 and found.collapsed:
        return [
            f"{where} has collapsed ({', '.join(found.collapsed)}): its codes are constant, and there is nothing to "
            "compare."
        ]
    raw, affine, cka, overlap = (
        [v for v in (getattr(p, name) for p in found.pairs) if v is not None]
        for name in ("raw", "affine", "cka", "overlap")
    )
    texts = []
    if found.collapsed:
        texts.append(f"Of {where} {', '.join(found.collapsed)} has collapsed, and is left out of the comparison.")
    if found.model == "pca":
        texts.append(f"{where}, fitted by {' and by '.join(found.names)}.")
    elif found.error is not None and found.error.sd is not None:
        share = _percent(found.error.sd / found.error.mean) if found.error.mean > 0 else "0"
        texts.append(
            f"{where}, {len(found.error.values)} runs that differ in the seed alone: test error "
            f"{_plus_minus(found.error)} (mean ± SD over runs), a spread of {share}."
        )
    if raw and affine and cka:
        texts.append(
            f"Two of its plots have a Procrustes disparity of {_range(raw)} as they came, {_range(affine)} after the "
            f"best affine map, and a linear CKA of {_range(cka)}. {_reading(max(raw), max(affine))}"
        )
    if overlap and found.chance is not None:
        texts.append(
            f"Of the 10 nearest neighbours of a code they share {_percent(sum(overlap) / len(overlap))} (chance: "
            f"{_percent(found.chance)})."
        )
    if found.accuracy:
        texts.append(
            f"The vote of these neighbours names the class of {_list(_estimate(a) for a in found.accuracy)} of the "
            "test rows" + (", run by run." if len(found.accuracy) > 1 else ".")
        )
    return [" ".join(texts[:2]), *([" ".join(texts[2:])] if texts[2:] else [])] if texts else []


def _reading(raw: float, affine: float) -> str:
    """Say what the disparities before and after an affine map mean."""
    if raw <= _ALIKE:
        return "So they are the same plot up to rotation, reflection and scale."
    if affine <= _ALIKE:
        return "So they differ by an affine map: rotation, scale and shear explain the difference."
    if affine <= _MOSTLY:
        return "So rotation, scale and shear explain most of the difference, and the rest is not affine."
    if affine < _APART:
        return "So rotation, scale and shear explain part of the difference, and the rest is not affine."
    return "So no affine map takes one plot to the other: the runs are laid out differently."


def _about_refit(found: Refit) -> list[str]:
    """Task 2: say whether PCA's result changes when it is fitted again."""
    same = found.again <= _SAME_ANGLE and found.other <= _SAME_ANGLE
    flips = (
        "all axes point the same way"
        if found.flipped == 0
        else f"{found.flipped} of its {found.dim3} axes point{'s' * (found.flipped == 1)} the other way"
    )
    solver = found.auto_solver.replace("_", " ")
    auto = (
        f"For these {found.rows:,} rows scikit-learn chooses the solver {solver} by default"
        + (", which is exact" if found.auto_solver != "randomized" else "")
        + (
            f"; on fewer than {10 * found.dim1:,} rows of {found.dim1} columns it may choose the randomized one"
            if found.dim1 <= _COVARIANCE_COLUMNS
            else f"; with more than {_COVARIANCE_COLUMNS:,} columns it may choose the randomized one for any number of "
            "rows"
        )
    )
    return [
        f"PCA at dim3 {found.dim3}, run twice on the same rows: the largest principal angle between the two subspaces "
        f"is {_angle(found.again)}. Another exact program, given the rows in another order, finds them within "
        f"{_angle(found.other)}, and there {flips}: an eigenvector and its negative are equally valid. "
        + ("So the result is the same up to signs. " if same else "So the result changes. ")
        + f"{auto}. Two fits by the randomized solver with different seeds are {_angle(found.randomized)} apart here."
    ]


def _about_clash(found: Refit) -> str:
    """Task 2: give the errors for the two meanings of alpha."""
    if found.clash is None or found.error is None or found.mean_row is None:
        return ""
    compared = "worse" if found.clash > found.mean_row else "better"
    return (
        f"The scores of equation (1) put into equation (2) as they are give an error of {number(found.clash)} at dim3 "
        f"{found.dim3}, {compared} than the mean row's {number(found.mean_row)}; divided by sqrt(lambda) first, "
        f"{number(found.error)}."
    )


def _about_maps(maps: Sequence[Map]) -> list[str]:
    """Task 2: compare the other models with PCA."""
    texts = []
    for dim3 in dict.fromkeys(m.dim3 for m in maps):
        mine = [m for m in maps if m.dim3 == dim3]
        pca = next((m for m in mine if m.model == "pca"), None)
        for other in mine:
            if pca is None or other is pca or other.ratio is None:
                continue
            parts = [
                f"At dim3 {dim3} {other.label} leaves {_estimate(other.ratio)} of PCA's test error "
                f"({_estimate(other.error)} against {_estimate(pca.error)})"
            ]
            if other.accuracy is not None and pca.accuracy is not None:
                parts.append(
                    f"neighbours among its codes name the class of {_estimate(other.accuracy)} of the rows, among "
                    f"PCA's of {_estimate(pca.accuracy)}"
                )
            if other.trustworthiness is not None and pca.trustworthiness is not None:
                parts.append(
                    f"its trustworthiness is {_plus_minus(other.trustworthiness)} against "
                    f"{_plus_minus(pca.trustworthiness)}, its continuity {_plus_minus(other.continuity)} against "
                    f"{_plus_minus(pca.continuity)}"
                )
            if other.outside is not None and pca.outside is not None:
                parts.append(
                    f"of the values it generates {_percent(other.outside.mean)} lie outside the data's range, of PCA's "
                    f"{_percent(pca.outside.mean)}"
                )
            texts.append("; ".join(parts) + ".")
    return texts


def _about_curves(finding: ComparisonFinding) -> list[str]:
    """Task 3: compare eigenvectors with latents, and say whether there is a simple way to choose dim3."""
    texts = [f"{model.versus}." for model in finding.models if model.versus]
    texts += [text for model in finding.models if (text := _worths(model))]
    texts += [f"{model.sentence}." for model in finding.models]
    corners = [m for m in finding.models if m.verdict is not None and m.verdict.kind == "clear"]
    judged = [m for m in finding.models if m.verdict is not None]
    if judged:
        least = _list(f"{min(m.points, key=lambda p: p.error).dim3} for {m.label}" for m in judged)
        last = _list(dict.fromkeys(str(m.points[-1].dim3) for m in judged))
        texts.append(
            "Is there a simple way to the best dim3? "
            + (
                f"Where a curve has a clear corner, yes, there: {_list(m.label for m in corners)}. "
                if corners
                else "No curve has a corner that a smooth curve doesn't explain. "
            )
            + f"The least error is at {least}, where the range ends at {last}: a minimum at the end moves with the "
            "range and chooses nothing. Without a corner there is a rule, stated beforehand: the choice above, where "
            "there is one, is the dim3 after which one more dimension gains little."
        )
    for model in judged:
        assert model.verdict is not None
        said = {name.replace("_", " "): k for name, k in model.verdict.criteria.items() if k is not None}
        if len(set(said.values())) > 1:
            texts.append(
                f"The usual criteria do not agree for {model.label}: "
                f"{_list(f'{name} {k}' for name, k in said.items())}."
            )
    pca = next((m for m in finding.models if m.spectrum_criteria), None)
    if pca is not None:
        known = [f"{name}: {k}" for name, k in pca.spectrum_criteria.items() if k is not None]
        if known:
            texts.append(
                "For PCA one decomposition gives the whole curve and every criterion at once; by its spectrum: "
                f"{_list(known)}. An autoencoder has to be trained for each dim3."
            )
    return texts


def _worths(model: ModelFinding) -> str:
    """Return a model's PCA-equivalent dimensions at the first, the middle and the last dim3."""
    known = [a for a in model.against if a.raw is not None]
    if not known:
        return ""
    picked = dict.fromkeys(known[i].dim3 for i in (0, len(known) // 2, -1))
    said = [
        f"{a.dim3} latents are worth {worth(a.raw)} components"
        + (f" ({worth(a.clipped)} clipped)" if a.clipped else "")
        for a in known
        if a.dim3 in picked
    ]
    return f"{model.label} in eigenvectors, by test error: {'; '.join(said)}."


def _about_draws(answers: Answers) -> list[str]:
    """Task 4: say whether generated samples differ between calls."""
    if not answers.draws:
        return []
    said = _list(f"{_plus_minus(d.new)} for {d.label} at dim3 {d.dim3}" for d in answers.draws)
    most = max(d.same.mean for d in answers.draws)
    again = "identical, to the last bit" if most == 0 else f"up to {number(most)} apart"
    alike = [d for d in answers.draws if min(d.new.values) == 0]
    return [
        f"A new draw differs from the first by a mean square of {said}."
        + (f" Draws that do not differ come from a collapsed model: {_list(d.label for d in alike)}." if alike else ""),
        f"The first seed drawn again gives pictures that are {again}.",
    ]


def _about_robustness(found: Sequence[Robust]) -> list[str]:
    """Task 4: compare how robust the decoders other than PCA are to pushed codes."""
    texts = []
    for dim3 in dict.fromkeys(r.dim3 for r in found):
        mine = [r for r in found if r.dim3 == dim3 and r.model != "pca" and _PUSH in r.lengths]
        said, ratios = [], {}
        for one in mine:
            at = one.lengths.index(_PUSH)
            ratio = one.ratios[at]
            if ratio is not None:
                ratios[one.label] = ratio
                said.append(
                    f"{one.label}'s error from {number(one.errors[0])} to {number(one.errors[at])} "
                    f"({number(ratio)} times)"
                )
        if not said:
            continue
        least = min(ratios, key=lambda label: ratios[label])
        end = f": the error of {least} has the smallest ratio" if len(ratios) > 1 else ""
        texts.append(f"A push of one SD of the codes takes, at dim3 {dim3}, {_list(said)}{end}.")
    return texts


def _about_smoothness(found: Sequence[Smooth]) -> list[str]:
    """Task 4: compare interpolations between codes, without PCA."""
    texts = []
    for dim3 in dict.fromkeys(s.dim3 for s in found):
        steps = {s.label: s.largest_step for s in found if s.dim3 == dim3 and s.model != "pca" and s.largest_step}
        if len(steps) > 1:
            least = min(steps, key=lambda label: steps[label].mean)
            said = _list(f"{_plus_minus(step)} times the mean one for {label}" for label, step in steps.items())
            texts.append(f"At dim3 {dim3} the largest step is {said}: {least} changes most evenly.")
    return texts


def _about_priors(found: Sequence[Prior]) -> list[str]:
    """Task 4: compare the aggregate codes with N(0, I)."""
    texts = []
    for dim3 in dict.fromkeys(p.dim3 for p in found):
        mine = [p for p in found if p.dim3 == dim3 and p.of != "means"]
        if mine:
            said = _list(f"{_plus_minus(p.squared)} for the {p.of} of {p.label}" for p in mine)
            beyond = [p for p in mine if p.rejected]
            within = (
                "none of them is more than chance"
                if not beyond
                else "more than chance for "
                + _list(f"{p.label} in {p.rejected} of {len(p.squared.values)} runs" for p in beyond)
            )
            texts.append(f"At dim3 {dim3} the squared MMD to N(0, I) is {said}; {within}.")
    return texts


def _about_health(found: Sequence[Health]) -> list[str]:
    """Task 4: say how many latents of a VAE are active, and whether it has collapsed."""
    texts = []
    for one in found:
        active = "" if one.active is None else f"{_count(one.active)} of {one.dim3} units are active, "
        text = f"{one.label} at dim3 {one.dim3}: {active}KL {_plus_minus(one.kl)} nats in all. "
        if one.error is not None and one.sampled_error is not None:
            text += (
                f"Decoded from the means its test error is {_plus_minus(one.error)}, from draws "
                f"{_plus_minus(one.sampled_error)}. "
            )
        text += f"Collapsed: {one.reason}." if one.collapsed else "Not collapsed."
        texts.append(text)
    return texts


def _about_generators(answers: Answers) -> list[str]:
    """Task 4: compare the generators by precision, recall and distance to the training rows."""
    texts = []
    real = next((c for c in answers.controls if c.source == "real"), None)
    floor = next((c for c in answers.controls if c.source != "real"), None)
    if real is not None and real.precision and real.recall:
        texts.append(
            f"Other real rows have precision {_fixed(real.precision.mean)} and recall {_fixed(real.recall.mean)}."
        )
    if floor is not None and floor.precision and floor.recall:
        among = floor.precision.mean > _AMONG
        texts.append(
            f"The mean row, given always, has precision {_fixed(floor.precision.mean)} and recall "
            f"{_fixed(floor.recall.mean)}"
            + (": blurred rows lie among the real ones, so precision alone does not tell quality." if among else ".")
        )
    main = [g for g in answers.generators if g.main]
    for dim3 in dict.fromkeys(g.dim3 for g in main):
        mine = [g for g in main if g.dim3 == dim3 and g.precision and g.recall]
        if mine:
            precise, varied = _by(mine, lambda g: g.precision), _by(mine, lambda g: g.recall)
            most = f"none has a recall of {_COVERS}"
            if varied.recall is not None and varied.recall.mean >= _COVERS:
                most = f"the highest recall {varied.name} ({_portion(varied.recall)})"
            texts.append(
                f"At dim3 {dim3} the highest precision has {precise.name} ({_portion(precise.precision)}), and {most}."
            )
    for dim3 in dict.fromkeys(g.dim3 for g in main):
        covered = [g for g in main if g.dim3 == dim3 and g.coverage]
        if covered:
            said = _list(f"{_portion(g.coverage)} for {g.name}" for g in covered)
            kept = [g.recall.mean for g in answers.generators if g.dim3 == dim3 and _is_bound(g) and g.recall]
            bound = ""
            if kept and real is not None and real.recall and max(kept) < real.recall.mean / 2:
                bound = (
                    f"Even reconstructions of real rows have a recall of only {_range(kept)} at dim3 {dim3}: the "
                    "decoders limit it, and not the distribution of z. "
                )
            texts.append(
                f"{bound}Of the model's own reconstructions of these rows the samples' recall at dim3 {dim3} is {said}."
            )
    if real is not None and real.nearest:
        texts.append(
            f"To the nearest training row real test rows have a median distance of {number(real.nearest.mean)} (mean "
            "squared), and a copy would have 0."
        )
        for dim3 in dict.fromkeys(g.dim3 for g in main):
            near = [g for g in main if g.dim3 == dim3 and g.nearest]
            if near:
                texts.append(
                    f"Samples at dim3 {dim3} have {_list(f'{_plus_minus(g.nearest)} for {g.name}' for g in near)}."
                )
    return [" ".join(texts[:2]), *texts[2:]] if texts else []


def _is_bound(generator: Generator) -> bool:
    """Whether its rows are reconstructions of real ones."""
    return generator.source == Source.RECONSTRUCTED


def _by(generators: Sequence[Generator], pick: Callable[[Generator], Spread | None]) -> Generator:
    return max(generators, key=lambda g: found.mean if (found := pick(g)) is not None else -1.0)


def _count(found: Spread) -> str:
    """Return counts over runs: `8`, or `7 to 9`."""
    low, high = min(found.values), max(found.values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _range(values: Sequence[float]) -> str:
    low, high = _fixed(min(values)), _fixed(max(values))
    return low if low == high else f"{low} to {high}"


def _angle(degrees: float) -> str:
    return "0°" if degrees < 1e-6 else f"{number(degrees, 2)}°"


def _list(words: Iterable[str]) -> str:
    """Return words as text: `a, b and c`."""
    *head, last = list(words)
    return f"{', '.join(head)} and {last}" if head else last
