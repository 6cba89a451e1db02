"""The findings of an experiment as plain values: `find(store) -> Findings`.

The same runs give the same bytes: bootstraps have seed 0, and neither times nor the store's address are part of them.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from elbowroom.tracking.store.names import FACT_PREFIX, METRICS, PACKAGE_PREFIX, REUSED, Artifact, Metric, Tag
from elbowroom.tracking.store.text import dominance, fingerprint, ranges

from .. import Floats
from ..elbow import LEAST_POINTS, Verdict, calibrated, judge
from ..purposes import DEFAULT_RULE, PURPOSES, NotOffered, Rule, choose, in_order, no_choice
from ..purposes.choice import ByDim3, Choice, Missing
from ..purposes.keep import SHARES
from ..runs.arrays import rows_of
from ..runs.comparison import Cell, Comparison, LeftOut, Series, Store, assemble, compare, data_of, is_sought, missing
from .against_pca import (
    Against,
    DecoderPart,
    PcaCurve,
    against,
    decoder_part,
    pca_curve,
    spectrum_criteria,
    who_wins,
)
from .evidence import MeanRow, ModelEvidence, mean_row, shift
from .intervals import ends, logs, margins
from .nested import NestedFinding, beside

_ERRORS = (Artifact.ERRORS_VAL, Artifact.ERRORS_TEST)
_SHOWN = ("features", "generate", "rank")  # beside the shares that are kept
_INTRINSIC = {
    Metric.INTRINSIC_TWONN: "TwoNN",
    Metric.INTRINSIC_MLE: "maximum likelihood",
    Metric.INTRINSIC_PARTICIPATION: "participation ratio",
    Metric.INTRINSIC_PARALLEL: "parallel analysis",
}
BY_NEIGHBOURS = {Metric.INTRINSIC_TWONN_SE: "TwoNN", Metric.INTRINSIC_MLE_SE: "maximum likelihood"}
"""The intrinsic dimensions by distances between rows: they have a standard error, and are biased low above 10."""
_SHIFTED = 0.2  # of the mean row's error
LOUD = 0.5
"""Of the variance: a column with more decides nearly alone what is kept."""
_SMALL_RISE = 0.05  # of the error: the noise of one seed, which is not known
_NOISE_SIGMAS = 2.0  # standard errors over seeds by which an error has to rise to count
_FEWEST_DIM3 = 3  # of a variant that is judged beside a scan of the same model
_CONFIRMED_RATIO = 1.5  # of the slopes before and after a confirmed corner, at twice the epochs


@dataclass(frozen=True)
class Point:
    """One model at one dim3: means over seeds, and SDs from two seeds on.

    error is what is judged, with its 95 % interval or None: of the method, or of this network where the model has one
    seed. metrics are those of `METRICS`.
    """

    dim3: int
    error: float
    low: float | None
    high: float | None
    sd: float | None
    test: float | None
    seeds: int
    bytes_per_code: int
    elbo_sd: float | None
    metrics: Mapping[Metric, float | None]

    def columns(self) -> dict[str, float | None]:
        """Return the metrics by the names of `curves.csv` and `result.json`, times their factors."""
        found = {column.key: (self.metrics.get(metric), column.factor) for metric, column in METRICS.items()}
        return {key: None if value is None else factor * value for key, (value, factor) in found.items()}

    def shown(self) -> dict[str, Any]:
        """Return the point as `result.json` has it."""
        return {name: value for name, value in vars(self).items() if name != "metrics"} | self.columns()


@dataclass(frozen=True)
class ModelFinding:
    """One series: its points, its choices by purpose, its verdict, and its comparison with PCA.

    choice is that of the rule in force, and purposes has it too; columns are the largest column's share of the variance
    and the share of its own that the median column keeps at the choice, None where they are not known. no_verdict is
    why the verdict is None.

    unused has the units in use by dim3, where a model leaves latents unused; undertrained, which has none of these, the
    reason by dim3.
    """

    label: str
    model: str
    loss: str
    trained: bool
    seeds: list[int]
    points: list[Point]
    choice: Choice
    purposes: list[Choice]
    columns: tuple[float, float] | None
    verdict: Verdict | None
    no_verdict: str
    sentence: str
    elbow: str
    uncalibrated: str | None
    confirmed: bool | None
    confirmation: str
    elbo_verdict: Verdict | None
    undertrained: dict[int, str]
    unused: dict[int, float]
    against: list[Against]
    decoder: DecoderPart
    versus: str
    spectrum_criteria: dict[str, int | None]


@dataclass(frozen=True)
class Pick:
    """The cell to use, and why. run_id is None where the store has no finished run of that cell."""

    model: str
    dim3: int
    run_id: str | None
    seed: int
    why: str


@dataclass(frozen=True)
class ComparisonFinding:
    """All models of one data set and training budget.

    mean_row is the mean row's error on the rows that are judged. cautions say why its answer may mislead: with one, no
    model is registered unless the user names it. comparison holds the cells, and is no part of result.json.
    """

    name: str
    dataset: str
    digest: str
    settings: dict[str, str]
    quick: bool
    error_name: str
    mean_row: float | None
    missing: list[str]
    notes: list[str]
    models: list[ModelFinding]
    intrinsic: dict[str, float]
    same_loss: list[str]
    doubled: list[LeftOut]
    pick: Pick | None
    pca_curve: PcaCurve | None
    comparison: Comparison
    nested: list[NestedFinding] = field(default_factory=list)
    intrinsic_se: dict[str, float] = field(default_factory=dict)
    intrinsic_rows: int | None = None
    cautions: list[str] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """Return the finding as `result.json` has it: without cells, and without `nested` where there is none."""
        left_out = {"comparison"} if self.nested else {"comparison", "nested"}
        return {name: value for name, value in vars(self).items() if name not in left_out}


@dataclass(frozen=True)
class Findings:
    """The findings of one experiment."""

    experiment: str
    runs: list[str]
    digest: str
    rule: str
    comparisons: list[ComparisonFinding]
    left_out: list[LeftOut]
    unfinished: list[LeftOut]
    versions: dict[str, list[str]]
    commits: list[str]

    def to_json(self) -> str:
        """Return the text of `result.json`."""
        return to_json(self)


def find(store: Store, rule: str = DEFAULT_RULE, comparisons: Sequence[Comparison] | None = None) -> Findings:
    """Judge and compare all models of a store.

    Parameters
    ----------
    store
        The runs of an experiment.
    rule
        For the choice of dim3: a purpose and its amount.
    comparisons
        Those to judge; None for all that the store's cells make.
    """
    in_force = Rule.parse(rule)
    comparisons = compare(store.cells) if comparisons is None else comparisons
    nested = [n.cell for n in store.nested]
    compared = [cell for comparison in comparisons for cell in comparison.cells]
    used = sorted({c.run_id for c in (*compared, *store.confirmations, *nested)})
    read = [*store.cells, *nested]
    return Findings(
        experiment=store.experiment,
        runs=used,
        digest=fingerprint("\n".join(used)),
        rule=in_force.text,
        comparisons=[_comparison(comparison, store, in_force) for comparison in comparisons],
        left_out=store.left_out,
        unfinished=store.unfinished,
        versions=_versions(read),
        commits=sorted({c.tag(Tag.COMMIT) + (" with changes" if c.tag(Tag.DIRTY) == "true" else "") for c in read}),
    )


def choices(cells: Sequence[Cell], rule: str = DEFAULT_RULE) -> dict[str, Choice]:
    """Return the choice of each model by a rule, of the cells of one study."""
    asked = Rule.parse(rule)
    return {model: choose(asked, one) for model, one in evidence(cells).items()}


def evidence(cells: Sequence[Cell], store: Store | None = None) -> dict[str, ModelEvidence]:
    """Return the evidence of each model, of the cells of one study."""
    return {e.series.model: e for comparison in compare(cells) for e in _evidence(comparison, [], store).values()}


def evidence_in(store: Store, run_ids: Collection[str]) -> dict[str, ModelEvidence]:
    """Return the evidence of each model of a study as `find` has it: of all cells on the curves of the study's runs."""

    def curve(cell: Cell) -> tuple[object, ...]:
        return cell.model, cell.variant, cell.settings, *data_of(cell)

    curves = {curve(cell) for cell in store.cells if cell.run_id in run_ids}
    return evidence([cell for cell in store.cells if curve(cell) in curves], store)


def _evidence(comparison: Comparison, notes: list[str], store: Store | None = None) -> dict[str, ModelEvidence]:
    """The evidence of each series by its label; notes takes the arrays that are missing."""
    table_mean_row, studies = (None, []) if store is None else (store.mean_row, store.studies)
    series = comparison.series
    baseline = next((s for s in series if s.model == "pca"), None)
    val, test = ({s.label: _rows(s, artifact, notes) for s in series} for artifact in _ERRORS)
    base = mean_row(series) if series[0].first.digest else MeanRow(None, None)
    return {
        s.label: ModelEvidence(s, baseline, base, val[s.label], test[s.label], table_mean_row, studies) for s in series
    }


def _comparison(comparison: Comparison, store: Store, rule: Rule) -> ComparisonFinding:
    series = comparison.series
    baseline, decoder = (next((s for s in series if s.model == model), None) for model in ("pca", "pca-mlp"))
    notes = list(store.notes)
    if any(c.tag(Tag.TEST_REPEATS) == "true" for c in comparison.cells):
        notes.append("each test row is one of the training rows, so the test errors say nothing of new rows")
    evidence = _evidence(comparison, notes, store)
    test_rows, base = {label: e.test for label, e in evidence.items()}, evidence[series[0].label].base
    curve = None if baseline is None else pca_curve(baseline, notes)
    versus: dict[str, list[Against]] = {s.label: [] for s in series}
    if baseline is not None:
        for one in series:
            if one is not baseline:
                versus[one.label] = against(one, baseline, test_rows[one.label], test_rows[baseline.label], curve)
    apart = {s.label: why for s in series if (why := _apart(s, series))}
    common = _common([e for label, e in evidence.items() if label not in apart], rule)
    models = []
    for one in series:
        part = DecoderPart({}, [])
        if decoder is not None and one is not decoder:
            between = against(one, decoder, test_rows[one.label], test_rows[decoder.label], curve)
            part = decoder_part(versus[one.label], versus[decoder.label], between)
        models.append(
            _model(evidence[one.label], versus[one.label], part, store, rule, common, apart.get(one.label, ""))
        )
    loud = max((m.columns[0] for m in models if m.columns), default=0.0)
    cautions = _cautions(comparison)
    if loud > LOUD and not cautions:
        why = f"one column has {100 * loud:.3g} % of the variance, so the shares are mostly about it"
        notes.append(f"{why}: --scale columns gives columns in different units the same weight")
    command = "studies.seek" if all(is_sought(c) for c in comparison.cells) else "studies.scan"
    ahead = [m.label for m in models if m.trained and any(a.errs == "less" for a in m.against)]
    if ahead and decoder is None:
        how = f"add pca-mlp runs: python -m {command} --models pca-mlp and the flags of the study"
        notes.append(f"the lead of {', '.join(ahead)} over PCA may be the decoder's alone: {how}")
    if baseline is None:
        notes.append(f"no PCA runs of these data, so nothing to compare with: run python -m {command} --models pca")
    elif (share := shift(baseline, base)) > _SHIFTED:
        why = "a training row far away, or rows in an order, may be the cause"
        notes.append(f"{100 * share:.0f} % of what counts as the test rows' variance is a shift of their mean: {why}")
    if len(series) == 1:
        notes.append(f"only {series[0].label} has finished cells here")
    notes.extend(_about_seeds(list(evidence.values())))
    first = series[0].first
    judged = base.val if first.on_validation else base.test
    return ComparisonFinding(
        name=comparison.name,
        dataset=comparison.dataset,
        digest=comparison.digest,
        settings=comparison.settings,
        quick=any(c.tag(Tag.LABEL) == "quick" for c in comparison.cells if c.trained),
        error_name="validation error" if first.on_validation else "test error (there are no validation rows)",
        mean_row=store.mean_row if judged is None else float(judged.mean()),
        missing=missing(comparison, store),
        notes=list(dict.fromkeys(notes)),
        models=models,
        intrinsic=_intrinsic(baseline, _INTRINSIC),
        intrinsic_se=_intrinsic(baseline, BY_NEIGHBOURS),
        intrinsic_rows=next(map(int, _intrinsic(baseline, {Metric.INTRINSIC_ROWS: "rows"}).values()), None),
        same_loss=_same_loss(series),
        doubled=comparison.doubled,
        cautions=cautions,
        pick=_pick([(m, s) for m, s in zip(models, series, strict=True) if m.label not in apart]),
        pca_curve=curve,
        comparison=comparison,
        nested=beside(comparison, store.nested),
    )


def _cautions(comparison: Comparison) -> list[str]:
    """Say which column has nearly all the variance, and which errors are those of 32 bits."""
    found = [dominance(*one) for c in comparison.cells if (one := _dominant(c)) is not None][:1]
    for series in comparison.series:
        if unresolved := series.unresolved:
            limit = max(r for c in series.every_cell if (r := c.metric(Metric.DATA_RESOLUTION)) is not None)
            at = f"{series.label} at dim3 {ranges(unresolved)}"
            found.append(f"{at}: errors up to {limit:.2g} are those of 32 bits: not judged, not compared with PCA")
    return found


def _dominant(cell: Cell) -> tuple[str, float] | None:
    """The column with nearly all the variance, and its share; None where the run names none."""
    try:
        found = json.loads(cell.tag(Tag.DOMINANT_COLUMN))
        return str(found["column"]), float(found["share"])
    except (ValueError, KeyError, TypeError):
        return None


def _apart(one: Series, series: Sequence[Series]) -> str:
    """Say why a variant is no candidate for a choice: few dim3 of a model that others scan; empty for all others."""
    scanned = max(len(s.dim3) for s in series if s.model == one.model)
    few = one.trained and len(one.dim3) < _FEWEST_DIM3 <= scanned
    return f"trained at dim3 {ranges(one.dim3)} only, beside a scan of {one.model}; not judged" if few else ""


def _common(evidence: Sequence[ModelEvidence], rule: Rule) -> Rule | None:
    """The largest whole percentage of the variance that all models keep, where one misses the share in force."""
    try:
        most = min(e.fitted.chosen.most_kept(seeded=e.seeded) for e in evidence)
    except Missing:
        return None
    share = float(np.floor(100 * most) / 100)
    return Rule("keep", share) if rule.purpose == "keep" and share > 0 and most < rule.amount else None


def _model(
    evidence: ModelEvidence,
    versus: list[Against],
    part: DecoderPart,
    store: Store,
    rule: Rule,
    common: Rule | None,
    apart: str,
) -> ModelFinding:
    series, (verdict, why) = evidence.series, evidence.judged
    confirmed, confirmation = _confirmed(series, verdict, store)
    unused = _unused(series)
    purposes = _purposes(evidence, rule, common, apart)
    choice = next(c for c in purposes if c.rule == rule.text)
    return ModelFinding(
        label=series.label,
        model=series.model,
        loss=dict(series.first.variant).get("loss", ""),
        trained=series.trained,
        seeds=_seeds(evidence) if series.seeded else [],
        points=_points(evidence),
        choice=choice,
        purposes=purposes,
        columns=None if choice.choice is None else evidence.columns(choice.choice),
        verdict=verdict,
        no_verdict=why,
        sentence=choice.sentence,
        elbow=verdict.sentence(series.label, confirmed)
        if verdict
        else ("" if apart else f"{series.label}: no verdict on an elbow: {why}"),
        uncalibrated=None if verdict is None else calibrated(*evidence.curve),
        confirmed=confirmed,
        confirmation=confirmation,
        elbo_verdict=_elbo_verdict(evidence),
        undertrained={k: why for k, why in _undertrained(series, versus).items() if k not in unused},
        unused=unused,
        against=versus,
        decoder=part,
        versus=who_wins(series.label, versus, part) if versus else "",
        spectrum_criteria=spectrum_criteria(series) if series.model == "pca" else {},
    )


def _purposes(evidence: ModelEvidence, rule: Rule, common: Rule | None, apart: str) -> list[Choice]:
    """The choices of a model by the rules that every report shows, by the rule in force, and by a common share.

    There are none where `apart` says why the model is no candidate.
    """
    rules = [
        *(Rule("keep", share) for share in SHARES),
        *(Rule(name, PURPOSES[name].amount) for name in _SHOWN),
        *([common] if common else []),
        rule,
    ]
    found = []
    for one in in_order(rules):
        try:
            found.append(no_choice(one, evidence.label, apart) if apart else choose(one, evidence))
        except NotOffered:
            if one == rule:
                found.append(no_choice(one, evidence.label, PURPOSES[one.purpose].only))
    return found


def _rows(series: Series, artifact: str, notes: list[str]) -> ByDim3:
    """The errors by row; of a table, and of validation rows where there are none, nothing."""
    if not series.first.digest or (artifact == Artifact.ERRORS_VAL and not series.first.on_validation):
        return {}
    found, lacking, why = rows_of(series, artifact)
    if lacking:
        notes.append(f"{series.label}: no interval at dim3 {ranges(lacking)}: {artifact} is {why}")
    return found


def _points(evidence: ModelEvidence) -> list[Point]:
    series = evidence.series
    rows = evidence.val if series.first.on_validation else evidence.test
    widths = margins({k: logs(held) for k, held in rows.items()})
    errors, test = series.means("error"), series.means()
    metrics = {metric: series.means(metric) for metric in METRICS}
    metrics |= {
        Metric.VAL_ELBO: {k: float(elbo.mean()) for k, elbo in evidence.val_elbo.items()},
        Metric.FIT_SECONDS: _seconds(series),
        Metric.SAMPLED_MSE: _kept_by_samples(series),
        Metric.TEST_UNITS_IN_USE: _in_use(series),
        Metric.WEIGHTED_BOUND: _tighter(series),
    }
    made = []
    for dim3, error in errors.items():
        low, high = ends(error, widths[dim3]) if dim3 in widths else (None, None)
        cells = series.at(dim3)
        made.append(
            Point(
                dim3=dim3,
                error=error,
                low=low,
                high=high,
                sd=_sd([c.error for c in cells]),
                test=_known(test[dim3]),
                seeds=len(cells),
                bytes_per_code=4 * dim3,
                elbo_sd=_sd(evidence.val_elbo[dim3]),
                metrics={metric: _known(means[dim3]) for metric, means in metrics.items()},
            )
        )
    return made


def _seconds(series: Series) -> dict[int, float]:
    """Return seconds to fit, means over seeds; for PCA with a reused decomposition, those of the fit that made it."""
    seconds = series.means(Metric.FIT_SECONDS)
    reused = {k for k in seconds if any(c.tag(f"{FACT_PREFIX}decomposition") == REUSED for c in series.at(k))}
    made = [s for k, s in seconds.items() if k not in reused and np.isfinite(s)]
    return seconds | dict.fromkeys(reused, max(made)) if made else seconds


def _kept_by_samples(series: Series) -> dict[int, float]:
    """Return the explained variance of decode(sample): that of decode(mean) gives the mean row's error."""
    kept, drawn, test = (series.means(m) for m in (Metric.TEST_EXPLAINED_VARIANCE, Metric.SAMPLED_MSE, "test"))
    return {k: 1 - (1 - kept[k]) * drawn[k] / test[k] if test[k] else np.nan for k in kept}


def _sd(values: Sequence[float] | Floats) -> float | None:
    """Return the SD over seeds, None for fewer than two or where one has no value."""
    return _known(float(np.std(values, ddof=1))) if len(values) > 1 else None


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _elbo_verdict(evidence: ModelEvidence) -> Verdict | None:
    """Return the verdict on the validation -ELBO, None where a cell has none or there are too few dim3."""
    series, elbo = evidence.scanned, evidence.val_elbo
    dim3, negative = assemble(
        (k, cell.seed, -value) for k in series.dim3 for cell, value in zip(series.at(k), elbo[k], strict=True)
    )
    if len(dim3) < LEAST_POINTS or not np.isfinite(negative).all() or (negative < 0).any():
        return None
    return replace(judge(dim3, negative), choice=None, rule="no rule of shares: the zero of the -ELBO is arbitrary")


def _undertrained(series: Series, versus: Sequence[Against]) -> dict[int, str]:
    """Return the dim3 where a trained model errs more than PCA, or more than at a smaller dim3, with the reason.

    A VAE is not compared with PCA: the KL makes it err more, however long it is trained.
    """
    if not series.trained:
        return {}
    dim3, errors = series.complete[0], series.errors()
    mean, seeds = errors.mean(axis=0), len(errors)
    noise = float(np.sqrt(2 * (errors.var(axis=0, ddof=1)).mean() / seeds)) if seeds > 1 else _SMALL_RISE * mean[:-1]
    of = "the noise of the seeds" if seeds > 1 else f"{100 * _NOISE_SIGMAS * _SMALL_RISE:.0f} %"
    rises = np.diff(mean) > _NOISE_SIGMAS * noise
    named: dict[int, str] = {}
    for (before, after), rise in zip(pairwise(dim3), rises, strict=True):
        if rise:
            named[after] = f"its error is higher than at {before}, beyond {of}"
    for point in versus:
        if point.errs == "more" and series.first.metric(Metric.TEST_KL) is None:
            named[point.dim3] = f"it errs {point.ratio:.3g} times as much as PCA at the same dim3"
    return dict(sorted(named.items()))


def _unused(series: Series) -> dict[int, float]:
    """Return the latents in use at each dim3 where a VAE leaves some unused; means over seeds."""
    return {k: count for k, count in _in_use(series).items() if count < k - 0.5}


def _in_use(series: Series) -> dict[int, float]:
    """Return the latents in use: by their KL; of older runs, which lack that, by the variance of their mean."""
    in_use, active = series.means(Metric.TEST_UNITS_IN_USE), series.means(Metric.TEST_ACTIVE_UNITS)
    return {k: active[k] if np.isnan(count) else count for k, count in in_use.items()}


def _tighter(series: Series) -> dict[int, float]:
    """Return the importance-weighted bound less the ELBO, on the same test rows."""
    bound, same, all_rows = map(series.means, (Metric.WEIGHTED_BOUND, Metric.WEIGHTED_ELBO, Metric.TEST_ELBO))
    return {k: bound[k] - (all_rows[k] if np.isnan(same[k]) else same[k]) for k in bound}


def _seeds(evidence: ModelEvidence) -> list[int]:
    """Return the seeds that the elbow is judged on; all of a model whose dim3 a seek chose."""
    scanned = evidence.scanned
    return scanned.complete[1] if scanned.cells else sorted({c.seed for c in evidence.series.every_cell})


def _about_seeds(evidence: Sequence[ModelEvidence]) -> list[str]:
    notes = []
    for one in evidence:
        if one.left_out and one.judged[0] is not None:
            at = ranges(one.left_out)
            notes.append(f"{one.label}: the elbow is judged without dim3 {at}, which were sought around an answer")
        if not one.series.trained:
            continue
        dim3, seeds = one.scanned.complete
        if one.scanned.cells and not seeds:
            notes.append(
                f"{one.label}: no seed has all dim3; the mean of the seeds at each dim3 is judged, as one curve"
            )
        elif all(len(one.series.at(k)) == 1 for k in one.series.dim3):
            notes.append(f"{one.label}: one seed: intervals are of this network, not of the method: add --seeds 3")
        others = [c for c in one.scanned.every_cell if c.seed not in seeds or c.dim3 not in dim3]
        if left := [c for c in others if seeds and not is_sought(c)]:
            at = ranges(sorted({c.dim3 for c in left}))
            notes.append(
                f"{one.label}: the elbow is judged without {len(left)} cells at dim3 {at}: other dim3 lack their seeds"
            )
    return notes


def _confirmed(series: Series, verdict: Verdict | None, store: Store) -> tuple[bool | None, str]:
    """Return whether a corner remains at twice the epochs, None where no run tells, and a sentence about it."""
    if verdict is None or verdict.kind != "clear" or verdict.dim3 is None or not series.trained:
        return None, ""
    first, at = series.first, verdict.dim3
    epochs = dict(first.settings).get("epochs", "")
    twice = str(2 * int(epochs)) if epochs.isascii() and epochs.isdigit() and len(epochs) < 16 else ""
    longer: dict[int, list[float]] = {}
    for cell in store.confirmations:
        same = (cell.model, cell.variant, cell.digest) == (first.model, first.variant, first.digest)
        if same and dict(cell.settings).get("epochs") == twice:
            longer.setdefault(cell.dim3, []).append(cell.error)
    before, after = max((k for k in longer if k < at), default=None), min((k for k in longer if k > at), default=None)
    if at not in longer or before is None or after is None:
        how = f"python -m studies.scan --confirm {series.model}={at} and the flags of the study"
        return None, f"unconfirmed: training too briefly can make a corner; {how}"
    mean = {k: float(np.mean(v)) for k, v in longer.items()}
    fall, then = (mean[before] - mean[at]) / (at - before), (mean[at] - mean[after]) / (after - at)
    stands = fall >= _CONFIRMED_RATIO * max(then, 0) and fall > 0
    said = f"at {twice} epochs the error falls by {fall:.3g} a dimension before {at} and by {then:.3g} after it"
    return stands, said


def _intrinsic(baseline: Series | None, names: Mapping[Metric, str]) -> dict[str, float]:
    """Return the metrics of the data that PCA's runs have; runs of before lack the standard errors and the rows."""
    cells = [] if baseline is None else [c for k in baseline.dim3 for c in baseline.at(k)]
    found = {name: [v for c in cells if (v := c.metric(metric)) is not None] for metric, name in names.items()}
    return {name: values[-1] for name, values in found.items() if values}


def _same_loss(series: Sequence[Series]) -> list[str]:
    """Compare models that share a loss, in sentences: their difference is not due to the loss."""
    said = []
    for one, other in combinations([s for s in series if s.trained], 2):
        loss = dict(one.first.variant).get("loss", "")
        if one.model == other.model or not loss or loss != dict(other.first.variant).get("loss"):
            continue
        mine, theirs = one.means(), other.means()
        shared = sorted(set(mine) & set(theirs))
        ratios = [mine[k] / theirs[k] for k in shared if theirs[k] > 0]
        if ratios:
            said.append(
                f"with the same loss ({loss}), {one.label} has {min(ratios):.2f} to {max(ratios):.2f} times "
                f"the test error of {other.label} at dim3 {ranges(shared)}"
            )
    return said


def _pick(candidates: Sequence[tuple[ModelFinding, Series]]) -> Pick | None:
    """Return the cell of the model that needs the fewest latents; of several, an untrained one, then the least error.

    None where no model has a choice by the rule in force.
    """

    def need(pair: tuple[ModelFinding, Series]) -> tuple[float, bool, float]:
        choice, points = pair[0].choice.choice, pair[0].points
        error = next((p.error for p in points if p.dim3 == choice), np.inf)
        return (np.inf if choice is None else choice, pair[0].trained, error)

    model, one = min(candidates, key=need)
    if not (dim3 := model.choice.choice):
        return None
    return Pick(model.label, dim3, *run_at(one, dim3), _why(model, [m for m, _ in candidates]))


def _why(picked: ModelFinding, models: Sequence[ModelFinding]) -> str:
    """Say which dim3 each model needs, and what the picked one and PCA keep and cost at the same dim3."""
    if len(models) == 1:
        return picked.sentence
    at, lacking = picked.choice.choice, defaultdict(list)
    for model in models:
        if not model.choice.choice:
            lacking[_lacks(model.choice)].append(model.label)
    needs = sorted((m for m in models if m.choice.choice), key=lambda m: m.choice.choice or 0)
    equal = [m for m in needs if m.choice.choice == at]
    parts = [f"dim3 to {Rule.parse(picked.choice.rule).words}: {', '.join(map(_need, needs))}"]
    parts += [f"{how} {', '.join(labels)}" for how, labels in lacking.items()]
    if others := [m.label for m in equal if m is not picked]:
        why = "has the smaller error" if picked.trained else "needs no training"
        parts.append(f"{' and '.join(others)} need{'s' * (len(others) == 1)} as many, but {picked.label} {why}")
    said, kept = "; ".join(parts), [_kept(m, at) for m in models if m in equal or m.model == "pca"]
    return f"{said}. At dim3 {at}, {', '.join(kept)}" if len(kept) > 1 and all(kept) else said


def _lacks(choice: Choice) -> str:
    """Return why there is no dim3: none is enough, too few rows or trainings tell, or there is no evidence at all."""
    if not choice.missing:
        return "not reached by"
    return "undecided for" if choice.rows else "no answer for"


def _need(model: ModelFinding) -> str:
    """Name a model's choice, which is a bound where no smaller dim3 was scanned."""
    bound = "at most " if model.choice.below is None and (model.choice.choice or 0) > 1 else ""
    return f"{model.label} {bound}{model.choice.choice}"


def _kept(model: ModelFinding, dim3: int | None) -> str:
    """Say what a model keeps of the test rows at a dim3 and what it costs; empty where one of these is not known."""
    found = next((p.metrics for p in model.points if p.dim3 == dim3), {})
    wanted = (Metric.TEST_EXPLAINED_VARIANCE, Metric.PARAMETERS, Metric.FIT_SECONDS)
    kept, parameters, seconds = (found.get(metric) for metric in wanted)
    if kept is None or parameters is None or seconds is None:
        return ""
    cost = f"{parameters:,.0f} parameters, fitted in {seconds:.2g} s"
    return f"{model.label} keeps {100 * kept:.1f} % of the test variance ({cost})"


def run_at(series: Series, dim3: int) -> tuple[str | None, int]:
    """Return the run of the smallest seed at one dim3, and the seed; None and 0 where the store has no such run."""
    cells = series.at(dim3) if dim3 in series.cells else []
    return min(((c.run_id, c.seed) for c in cells), key=lambda found: found[1], default=(None, 0))


def _versions(cells: Sequence[Cell]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for cell in cells:
        for name, value in cell.run.data.tags.items():
            if name.startswith(PACKAGE_PREFIX):
                found.setdefault(name.removeprefix(PACKAGE_PREFIX), set()).add(value)
    return {name: sorted(values) for name, values in sorted(found.items())}


def to_json(value: object) -> str:
    """Return the text of a file: sorted keys, full precision, null for nan and infinity."""
    return json.dumps(_plain(value), sort_keys=True, indent=1, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    if is_dataclass(value):
        value = value.shown() if isinstance(value, (Point, ComparisonFinding)) else vars(value)
    elif hasattr(value, "_asdict"):
        value = value._asdict()
    elif isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
