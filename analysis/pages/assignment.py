"""The assignment's page as one HTML file that needs no network and no script: `render(answers, findings, page)`.

Its sentences answer the questions of the assignment, each number from the answers or the findings. What a sentence
claims follows from the numbers by the thresholds below; where they are missing, it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from sklearn.utils import Bunch

from elbowroom.tracking.store.names import Source

from ..findings.find import ComparisonFinding, Findings, ModelFinding
from ..latent_space.answers import IN_USE, NEIGHBOURS, Answers, Estimate, Spread
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
    """The content of the page beside the answers and the findings.

    figures are PNG files by name; links returns a run's address by its id, None where it has none; made_with has
    versions by package; note says how to open the store; runs are id and name of each measured run.
    """

    figures: Mapping[str, bytes]
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
        "share": lambda found: "–" if found is None else _percent(found.mean),
        "fixed": _fixed,
        "portion": _portion,
    }
    repeats: dict[str, list[str]] = {}  # by label, for all dim3
    for row in answers.repeats:
        repeats.setdefault(row.label, []).extend(_about_repeats(row))
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
        repeats=list(repeats.items()),
        clash=next(filter(None, map(_about_clash, answers.refits)), ""),
        maps=_about_maps(answers.maps),
        commonest=next((m.commonest for m in answers.maps if m.commonest is not None), None),
        refits=[_about_refit(row) for row in answers.refits],
        curves=_about_curves(finding),
        draws=_about_draws(answers.draws),
        priors=_about_priors(answers.priors),
        robust=_about_robustness(answers),
        smooth=_about_smoothness(answers.smooth),
        health=[_about_health(row) for row in answers.health],
        made=_about_generators(answers),
        main=[g for g in answers.generators if g.main],
        others=[g for g in answers.generators if not g.main],
    )


def _about_repeats(found: Bunch) -> list[str]:
    """Task 1: compare the repeats of one model at one dim3."""
    where = f"{found.label} at dim3 {found.dim3}"
    collapsed = ", ".join(found.collapsed)
    if found.note:
        return [f"{found.note}."]
    if collapsed and len(found.names) - len(found.collapsed) < 2:
        return [f"{where} has collapsed ({collapsed}): its codes are constant, and there is nothing to compare."]
    raw, affine, cka, overlap = (
        [pair[name] for pair in found.pairs if pair[name] is not None] for name in ("raw", "affine", "cka", "overlap")
    )
    texts = []
    if collapsed:
        texts.append(f"{where}: {collapsed} has collapsed and is left out of the comparison.")
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
            f"Two of its plots have a Procrustes disparity of {_range(raw)} ({_range(affine)} after the best affine "
            f"map) and a linear CKA of {_range(cka)}. {_reading(max(raw), max(affine))}"
        )
    if overlap and found.chance is not None:
        shared = _percent(sum(overlap) / len(overlap))
        texts.append(
            f"Two sets of codes share {shared} of a row's {NEIGHBOURS} nearest neighbours (chance: "
            f"{_percent(found.chance)})."
        )
    if found.accuracy:
        texts.append(
            f"The vote of these neighbours predicts the class of {_list(_estimate(a) for a in found.accuracy)} of the "
            "test rows correctly" + (", run by run." if len(found.accuracy) > 1 else ".")
        )
    return [" ".join(part) for part in (texts[:2], texts[2:]) if part]


def _reading(raw: float, affine: float) -> str:
    """Say what the disparities before and after an affine map mean."""
    if raw <= _ALIKE:
        return "So they are the same plot up to rotation, reflection and scale."
    if affine <= _ALIKE:
        return "So they differ by an affine map: rotation, scale and shear explain the difference."
    if affine >= _APART:
        return "So no affine map takes one plot to the other: the runs are laid out differently."
    amount = "most" if affine <= _MOSTLY else "part"
    return f"So rotation, scale and shear explain {amount} of the difference, and the rest is not affine."


def _about_refit(found: Bunch) -> str:
    """Task 2: say whether PCA's result changes when it is fitted again."""
    same = found.again <= _SAME_ANGLE and found.other <= _SAME_ANGLE
    flips = "all axes point the same way"
    if found.flipped:
        flips = f"{found.flipped} of its {found.dim3} axes point{'s' * (found.flipped == 1)} the other way"
    exact = "" if found.auto_solver == "randomized" else ", which is exact"
    else_randomized = f"on fewer than {10 * found.dim1:,} rows of {found.dim1} columns it may choose the randomized one"
    if found.dim1 > _COVARIANCE_COLUMNS:
        else_randomized = (
            f"with more than {_COVARIANCE_COLUMNS:,} columns it may choose the randomized one for any number of rows"
        )
    return (
        f"PCA at dim3 {found.dim3}, run twice on the same rows: the largest principal angle between the two subspaces "
        f"is {_angle(found.again)}. Another exact program, given the rows in another order, finds this subspace within "
        f"{_angle(found.other)}, and {flips}: an eigenvector and its negative are equally valid. "
        f"So the result {'is the same up to signs' if same else 'changes'}. "
        f"For these {found.rows:,} rows scikit-learn chooses the solver {found.auto_solver.replace('_', ' ')} by "
        f"default{exact}; {else_randomized}. "
        f"Two fits by the randomized solver with different seeds are {_angle(found.randomized)} apart here."
    )


def _about_clash(found: Bunch) -> str:
    """Task 2: give the errors for the two meanings of alpha."""
    if found.clash is None or found.error is None or found.mean_row is None:
        return ""
    compared = "worse" if found.clash > found.mean_row else "better"
    return (
        f"At dim3 {found.dim3} the scores of equation (1), put into equation (2) unchanged, give an error of "
        f"{number(found.clash)}, {compared} than the mean row's {number(found.mean_row)}; divided by sqrt(lambda) "
        f"first, they give {number(found.error)}."
    )


def _about_maps(maps: Sequence[Bunch]) -> list[str]:
    """Task 2: compare the other models with PCA."""
    texts = []
    for dim3, rows in _by_dim3(maps).items():
        pca = next((m for m in rows if m.model == "pca"), None)
        for other in rows:
            if pca is None or other is pca or other.ratio is None:
                continue
            parts = [
                f"At dim3 {dim3} {other.label} has {_estimate(other.ratio)} of PCA's test error "
                f"({_estimate(other.error)} against {_estimate(pca.error)})"
            ]
            if other.accuracy is not None and pca.accuracy is not None:
                parts.append(
                    f"the vote of neighbouring codes is right for {_estimate(other.accuracy)} of the rows, against "
                    f"{_estimate(pca.accuracy)} for PCA"
                )
            if other.trustworthiness is not None and pca.trustworthiness is not None:
                parts.append(
                    f"its trustworthiness is {_plus_minus(other.trustworthiness)} against "
                    f"{_plus_minus(pca.trustworthiness)}, its continuity {_plus_minus(other.continuity)} against "
                    f"{_plus_minus(pca.continuity)}"
                )
            if other.outside is not None and pca.outside is not None:
                parts.append(
                    f"{_percent(other.outside.mean)} of the values that it generates lie outside the data's range, "
                    f"against {_percent(pca.outside.mean)} for PCA"
                )
            texts.append("; ".join(parts) + ".")
    return texts


def _about_curves(finding: ComparisonFinding) -> list[str]:
    """Task 3: compare eigenvectors with latents, and say whether there is a simple way to choose dim3."""
    texts = [f"{model.versus}." for model in finding.models if model.versus]
    texts += [text for model in finding.models if (text := _worths(model))]
    texts += [f"{model.sentence}." for model in finding.models]
    texts += [f"{model.elbow}." for model in finding.models]
    judged = [(m, m.verdict) for m in finding.models if m.verdict is not None]
    if judged:
        least = _list(f"{min(m.points, key=lambda p: p.error).dim3} for {m.label}" for m, _ in judged)
        last = _list(dict.fromkeys(str(m.points[-1].dim3) for m, _ in judged))
        corners = [m.label for m, verdict in judged if verdict.kind == "clear"]
        simple = "Not by a corner: smooth curves explain every curve as well."
        if corners:
            simple = f"A clear corner is one answer, where a curve has it: {_list(corners)}."
        texts.append(
            f"Is there a simple way to choose dim3? {simple} "
            f"The least error is at dim3 {least}; the range ends at {last}. A minimum at the end of the range moves "
            "with the range, so it is no choice. A rule that is fixed beforehand chooses: above, the smallest dim3 "
            "that keeps 90 % of the variance of held-out rows, the same quality for all models."
        )
    for model, verdict in judged:
        said = {name.replace("_", " "): k for name, k in verdict.criteria.items() if k is not None}
        if len(set(said.values())) > 1:
            answers = _list(f"{name} {k}" for name, k in said.items())
            texts.append(f"The usual criteria disagree for {model.label}: {answers}.")
    pca = next((m for m in finding.models if m.spectrum_criteria), None)
    known = [] if pca is None else [f"{name}: {k}" for name, k in pca.spectrum_criteria.items() if k is not None]
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


def _about_draws(draws: Sequence[Bunch]) -> list[str]:
    """Task 4: say whether generated samples differ between calls."""
    if not draws:
        return []
    said = _list(f"{_plus_minus(d.new)} for {d.label} at dim3 {d.dim3}" for d in draws)
    most = max(d.same.mean for d in draws)
    again = "identical, to the last bit" if most == 0 else f"up to {number(most)} apart"
    alike = [d.label for d in draws if min(d.new.values) == 0]
    return [
        f"A new draw differs from the first by a mean square of {said}."
        + (f" Draws that do not differ come from a collapsed model: {_list(alike)}." if alike else ""),
        f"The first seed drawn again gives pictures that are {again}.",
    ]


def _about_robustness(answers: Answers) -> list[str]:
    """Task 4: compare how robust the decoders other than PCA are to pushed codes.

    Collapsed models are left out: their decoder ignores its codes and so looks robust.
    """
    dead = {(h.label, h.dim3) for h in answers.health if h.collapsed}
    texts = []
    for dim3, rows in _by_dim3(answers.robust).items():
        said, ratios = [], {}
        for row in rows:
            if row.model == "pca" or (row.label, dim3) in dead or _PUSH not in row.lengths or row.errors[0] <= 0:
                continue
            pushed = row.errors[row.lengths.index(_PUSH)]
            ratios[row.label] = pushed / row.errors[0]
            said.append(
                f"{row.label}'s error from {number(row.errors[0])} to {number(pushed)} "
                f"({number(ratios[row.label])} times)"
            )
        if said:
            least = min(ratios, key=lambda label: ratios[label])
            end = f": the error of {least} has the smallest ratio" if len(ratios) > 1 else ""
            texts.append(f"At dim3 {dim3} a push of one SD of the codes changes {_list(said)}{end}.")
    return texts


def _about_smoothness(smooth: Sequence[Bunch]) -> list[str]:
    """Task 4: compare interpolations between codes; PCA's are straight, in equal steps."""
    texts = []
    for dim3, rows in _by_dim3(smooth).items():
        steps = {row.label: row.largest_step for row in rows if row.model != "pca" and row.largest_step}
        if len(steps) > 1:
            least = min(steps, key=lambda label: steps[label].mean)
            said = _list(f"{_plus_minus(step)} times the mean step for {label}" for label, step in steps.items())
            texts.append(f"At dim3 {dim3} the largest step is {said}: of these {least} changes most evenly.")
    return texts


def _about_priors(priors: Sequence[Bunch]) -> list[str]:
    """Task 4: compare the aggregate codes with N(0, I)."""
    texts = []
    for dim3, rows in _by_dim3(p for p in priors if p.of != "means").items():
        said = _list(f"{_plus_minus(p.squared)} for the {p.of} of {p.label}" for p in rows)
        beyond = [f"{p.label} in {p.rejected} of {len(p.squared.values)} runs" for p in rows if p.rejected]
        within = f"more than chance for {_list(beyond)}" if beyond else "none is more than chance"
        texts.append(f"At dim3 {dim3} the squared MMD to N(0, I) is {said}; {within}.")
    return texts


def _about_health(found: Bunch) -> str:
    """Task 4: say how many latents of a VAE are in use, and whether it has collapsed."""
    units = f"{_count(found.in_use)} of {found.dim3} units are in use (KL above {IN_USE:g} nat)"
    text = f"{found.label} at dim3 {found.dim3}: {units}, KL {_plus_minus(found.kl)} nats in all. "
    if found.error is not None and found.sampled_error is not None:
        text += (
            f"Decoded from the means its test error is {_plus_minus(found.error)}, from draws "
            f"{_plus_minus(found.sampled_error)}. "
        )
    return text + (f"Collapsed: {found.reason}." if found.collapsed else "Not collapsed.")


def _about_generators(answers: Answers) -> list[str]:
    """Task 4: compare the generators by precision, recall and distance to the training rows."""
    controls = {control.source: control for control in answers.controls}
    real, floor = controls.get(Source.REAL), controls.get(Source.MEAN_ROW)
    main = _by_dim3(g for g in answers.generators if g.main)
    ends = []
    if real is not None and real.precision and real.recall:
        ends.append(
            f"Other real rows have precision {_fixed(real.precision.mean)} and recall {_fixed(real.recall.mean)}."
        )
    if floor is not None and floor.precision and floor.recall:
        among = ": blurred rows lie among the real ones, so precision alone does not tell quality."
        ends.append(
            f"The mean row, repeated, has precision {_fixed(floor.precision.mean)} and recall "
            f"{_fixed(floor.recall.mean)}{among if floor.precision.mean > _AMONG else '.'}"
        )
    texts = [" ".join(ends)] if ends else []
    for dim3, rows in main.items():
        known = [g for g in rows if g.precision and g.recall]
        if known:
            precise, varied = (max(known, key=lambda g: g[name].mean) for name in ("precision", "recall"))
            most = f"none has a recall of {_COVERS}"
            if varied.recall.mean >= _COVERS:
                most = f"{varied.name} the highest recall ({_portion(varied.recall)})"
            texts.append(
                f"At dim3 {dim3} {precise.name} has the highest precision ({_portion(precise.precision)}), and {most}."
            )
    for dim3, rows in main.items():
        covered = [f"{_portion(g.coverage)} for {g.name}" for g in rows if g.coverage]
        if covered:
            mine = [g for g in answers.generators if g.dim3 == dim3 and g.source == Source.RECONSTRUCTED]
            kept = [g.recall.mean for g in mine if g.recall]
            bound = ""
            if kept and real is not None and real.recall and max(kept) < real.recall.mean / 2:
                bound = (
                    f"Even reconstructions of real rows have a recall of only {_range(kept)} at dim3 {dim3}: much of "
                    "the lack of recall is the decoders'. "
                )
            texts.append(
                f"{bound}The samples' recall of the model's own reconstructions of these rows at dim3 {dim3} is "
                f"{_list(covered)}."
            )
    if real is not None and real.nearest:
        texts.append(
            f"Real test rows have a median distance of {number(real.nearest.mean)} (mean squared) to the nearest "
            "training row; a copy would have 0."
        )
        for dim3, rows in main.items():
            near = [f"{_plus_minus(g.nearest)} for {g.name}" for g in rows if g.nearest]
            if near:
                texts.append(f"Samples at dim3 {dim3} have a median distance of {_list(near)}.")
    return texts


def _by_dim3(rows: Iterable[Bunch]) -> dict[int, list[Bunch]]:
    """Return the rows of a table by their dim3."""
    found: dict[int, list[Bunch]] = {}
    for row in rows:
        found.setdefault(row.dim3, []).append(row)
    return found


def _plus_minus(found: Spread | None) -> str:
    """Return mean ± SD: `0.0414 ± 0.0005`; the mean alone for one run, a dash for None."""
    if found is None:
        return "–"
    return number(found.mean) + ("" if found.sd is None else f" ± {number(found.sd, 2)}")


def _portion(found: Spread | None) -> str:
    """Return mean ± SD of a share, with three decimals; a dash for None."""
    if found is None:
        return "–"
    return _fixed(found.mean) + ("" if found.sd is None else f" ± {_fixed(found.sd)}")


def _estimate(found: Estimate | None) -> str:
    """Return a number with its interval, a dash for None."""
    return "–" if found is None else interval(found.value, (found.low, found.high))


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _fixed(value: float | None) -> str:
    """Return a number with three decimals, a dash for None."""
    return "–" if value is None else f"{value:.3f}"


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
