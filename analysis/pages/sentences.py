"""The paragraphs that open each task of the assignment's page, made from the numbers by rules.

A sentence says what the numbers decide, or that they do not, with the numbers that decide it. All numbers are in the
page's tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sklearn.utils import Bunch

from elbowroom.tracking.store.names import Source
from elbowroom.tracking.store.text import ranges

from ..findings.find import ComparisonFinding, ModelFinding
from ..latent_space.answers import MIXED_WITH, Answers, Estimate, Spread
from ..purposes import Rule
from ..purposes.choice import Choice
from .report import angle, number, percent

_KEPT, _ARBITRARY = 0.7, 0.4  # rank correlation from which an order is kept, and up to which it may be chance
_OVERLAP = 0.05  # share of the nearest neighbours from which two classes overlap
_NAMED, _AMONG = 3, 5  # pairs of classes that are named; they recur if they are among the first five of every run
_EQUAL, _UNEQUAL = 0.02, 0.10  # SD over runs of the error, as a share of its mean
_SAME_ANGLE = 0.01  # degrees that rounding makes
_SHARP, _BLURRED = 0.95, 0.80  # sharpness over that of real rows: as sharp from here on, blurred up to there
_NEIGHBOURS = {
    "yes": "Clusters keep their neighbours from run to run",
    "part": "Clusters keep their neighbours only in part",
    "no": "Clusters change their neighbours from run to run",
    "open": "Clusters keep their neighbours in some pairs of runs, but not in all",
}
_LAYOUT = {
    "yes": "Their layout is kept, up to rotation, reflection and scale",
    "part": "Their layout is kept only in part",
    "no": "Their layout changes from run to run",
    "open": "Their layout is kept in some pairs of runs, but not in all",
}
Sentences = list[str]
# Of each verdict, its dim3 and the number that decides; None: not measured.
_Verdicts = dict[str, dict[int, float | None]]


def about_repeats(answers: Answers) -> Sentences:
    """Task 1: whether runs of the autoencoder agree in neighbourhoods and layout, which classes overlap, the error."""
    found = _row(answers.repeats, answers, "ae")
    if found is None:
        return ["No run of an autoencoder was measured, so this task has no answer here."]
    if found.note:
        return [f"{found.note}."]
    left = [name for name in found.names if name not in found.collapsed]
    if len(left) < 2:
        return [f"{_list(found.collapsed)} collapsed to one point, so there are no two runs to compare."]
    out = f"{_list(found.collapsed)} collapsed and is left out. " if found.collapsed else ""
    return [out + _agreement(found), _overlapping(found), _spread_of_errors(found.error)]


def _agreement(found: Bunch) -> str:
    mixing, places = ([p[name] for p in found.pairs if p[name] is not None] for name in ("mixing", "places"))
    if not mixing or not places:
        return "There are not enough classes to say whether clusters keep their neighbours from run to run."
    spans = [_span(each, "{:.2f}") for each in (mixing, places)]
    return (
        f"{_NEIGHBOURS[_kept(mixing)]} (rank correlation of the class overlaps {spans[0]}). "
        f"{_LAYOUT[_kept(places)]} (rank correlation of the class distances {spans[1]})."
    )


def _kept(correlations: Sequence[float]) -> str:
    """Say whether an order is kept in every pair of runs, in part, not more than by chance, or whether runs differ."""
    if min(correlations) >= _KEPT:
        return "yes"
    if max(correlations) >= _KEPT:
        return "open"
    return "no" if max(correlations) <= _ARBITRARY else "part"


def _overlapping(found: Bunch) -> str:
    """Name the pairs of classes that overlap, and say whether they do in every run."""
    if not found.overlaps:
        return "The rows have no classes whose overlap could be measured."
    pairs = [o for o in found.overlaps if o.share >= _OVERLAP][:_NAMED]
    near = f"of a code's {MIXED_WITH} nearest neighbours are of the other class"
    if not pairs:
        return f"No two classes overlap much: at most {percent(found.overlaps[0].share)} {near}."
    first, *others = (f"{o.first} with {o.second}" for o in pairs)
    names = _list([f"{first} ({percent(pairs[0].share)} {near})", *others])
    recurs = all(_rank(found.overlaps, o, run) < _AMONG for o in pairs for run in range(len(o.shares)))
    among = f"{'It is' if len(pairs) == 1 else 'They are'} among the {_AMONG} most overlapping pairs of every run"
    every = among if recurs else "In some runs other pairs overlap more"
    return f"The classes that overlap most are {names}. {every}."


def _rank(overlaps: Sequence[Bunch], pair: Bunch, run: int) -> int:
    return sum(o.shares[run] > pair.shares[run] for o in overlaps)


def _spread_of_errors(error: Spread | None) -> str:
    if error is None or error.sd is None or error.mean <= 0:
        return "Whether the runs are equally good is not known: fewer than two have a test error."
    share = error.sd / error.mean
    differ = "are equally good" if share <= _EQUAL else "differ a lot" if share >= _UNEQUAL else "differ a little"
    return f"The runs {differ} (SD of the test error over seeds: {percent(share)} of its mean)."


def about_pca(answers: Answers) -> Sentences:
    """Task 2: the autoencoder against PCA by error, by the plot and the pictures, and PCA run twice."""
    return [_errors(answers), _plots(answers), _refit(answers.refits)]


def _errors(answers: Answers) -> str:
    verdicts: _Verdicts = {}
    for row in answers.maps:
        if row.label == answers.cast.get("ae") and row.ratio is not None:
            verdicts.setdefault(_against_one(row.ratio), {})[row.dim3] = row.ratio.value
    return _by_dim3(
        verdicts,
        {
            "less": ("The autoencoder has a smaller test error than PCA", ""),
            "more": ("The autoencoder has a larger test error than PCA", "a larger one"),
            "open": ("The data do not decide whether the autoencoder or PCA has the smaller test error", "undecided"),
        },
        "ratio {:.2g}",
        "No measured runs compare the autoencoder with PCA.",
    )


def _against_one(ratio: Estimate) -> str:
    if ratio.low is None or ratio.high is None or ratio.low <= 1 <= ratio.high:
        return "open"
    return "less" if ratio.high < 1 else "more"


def _plots(answers: Answers) -> str:
    """Compare the classes in the plots, and the range of the pictures."""
    pca, ae = (_row(answers.maps, answers, role) for role in ("pca", "ae"))
    if pca is None or ae is None:
        return "Its plot and pictures lack a measured run to compare them with."
    said = {
        "more": "The autoencoder's codes keep the classes better apart than PCA's",
        "less": "PCA's codes keep the classes better apart than the autoencoder's",
        "open": "The data do not decide whose codes keep the classes better apart",
        "none": "There are no classes to compare the plots by",
    }[_apart(ae.accuracy, pca.accuracy)]
    if ae.accuracy is not None and pca.accuracy is not None:
        shares = (percent(found.accuracy.value) for found in (ae, pca))
        said += " (class told by the nearest codes: autoencoder {}, PCA {} of the rows)".format(*shares)
    if pca.outside is None or ae.outside is None:
        return f"{said}. The range of generated pictures was not measured."
    return (
        f"{said}. Of the values that PCA generates, {percent(pca.outside.mean)} lie outside the range of the data and "
        f"are clipped in the pictures; of the autoencoder's, {percent(ae.outside.mean)}."
    )


def _apart(mine: Estimate | None, other: Estimate | None) -> str:
    """Say whether one interval lies above the other."""
    if mine is None or other is None:
        return "none"
    if None in (mine.low, mine.high, other.low, other.high):
        return "open"
    (a, b), (c, d) = ((float(e.low or 0), float(e.high or 0)) for e in (mine, other))
    return "more" if a > d else "less" if b < c else "open"


def _refit(refits: Sequence[Bunch]) -> str:
    if not refits:
        return "Whether PCA changes when it is run twice was not measured in these runs."
    again, other, randomized = (max(row[name] for row in refits) for name in ("again", "other", "randomized"))
    if again > _SAME_ANGLE:
        return f"PCA run twice on the same rows gives other subspaces (largest angle {angle(again)})."
    if other > _SAME_ANGLE:
        return (
            "PCA run twice gives the same subspace, but another exact solver gives another one (largest angle "
            f"{angle(other)}): these data do not fix it."
        )
    signs = "only the signs of its axes are" if any(r.flipped for r in refits) else "not even the signs of its axes are"
    return (
        f"PCA run twice gives the same subspace (largest angle {angle(max(again, other))}); {signs} arbitrary. Between "
        f"two seeds of a randomized solver, the angle is up to {angle(randomized)}."
    )


def about_dim3(finding: ComparisonFinding, cast: Mapping[str, str]) -> Sentences:
    """Task 3: eigenvectors against latents, what one is worth in the other, and whether there is an optimum."""
    models = {role: m for role, label in cast.items() for m in finding.models if m.label == label}
    return [_nature(models.get("ae")), _worth(models.get("ae")), _optimum(models)]


def _nature(model: ModelFinding | None) -> str:
    nested = (
        "PCA is fitted once: its training error is the sum of the discarded eigenvalues, so it never rises with dim3."
    )
    if model is None or len(model.points) < 2:
        return f"{nested} There is no scan of an autoencoder to compare it with."
    first, *_, last = model.points
    steps = list(zip(model.points, model.points[1:], strict=False))
    rises = [b.dim3 for a, b in steps if b.error > a.error]
    sure = [b.dim3 for a, b in steps if None not in (a.high, b.low) and (b.low or 0) > (a.high or 0)]
    end = f"falls at every step, from {number(first.error)} at dim3 {first.dim3} to {number(last.error)} at {last.dim3}"
    if sure:
        end = f"rises at dim3 {_numbers(sure)}, by more than the 95 % intervals"
    elif rises:
        end = f"rises at dim3 {_numbers(rises)}, but within the 95 % intervals"
    anew = "The autoencoder is trained anew at each dim3, and its latents have no order"
    return f"{nested} {anew}; its held-out error {end}."


def _worth(model: ModelFinding | None) -> str:
    verdicts: _Verdicts = {}
    for one in [] if model is None else model.against:
        if one.raw is not None:
            low, high = one.raw.low, one.raw.high
            verdict = "less" if high is not None and high < one.dim3 else "open"
            if one.raw.components is None or (low is not None and low > one.dim3):
                verdict = "more"
            each = None if one.raw.components is None else one.raw.components / one.dim3
            verdicts.setdefault(verdict, {})[one.dim3] = each
    return _by_dim3(
        verdicts,
        {
            "more": ("A latent of the autoencoder is worth more than an eigenvector", ""),
            "less": ("A latent of the autoencoder is worth less than an eigenvector", "less"),
            "open": ("The data do not decide whether a latent is worth more than an eigenvector", "undecided"),
        },
        "eigenvectors per latent: {:.2g}",
        "What a latent is worth in eigenvectors needs runs of both models.",
    )


def _optimum(models: Mapping[str, ModelFinding]) -> str:
    """Say where in the scanned range the error is least, which curves have a corner, and what the rule chooses."""
    scanned = [m for role in ("pca", "ae") if (m := models.get(role)) is not None and len(m.points) > 1]
    said: list[str] = []
    at_end: list[str] = []
    for model in scanned:
        last, least = model.points[-1], min(model.points, key=lambda p: p.error)
        if least is last:
            at_end.append(f"{model.label} {last.dim3}")
        else:
            sure = None not in (least.high, last.low) and (last.low or 0) > (least.high or 0)
            higher = "it is higher" if sure else "it is not shown to be higher"
            where = f"is least at dim3 {least.dim3}; at the last scanned, {last.dim3}, {higher}"
            said.append(f"The held-out error of {model.label} {where}.")
    if at_end:
        said.append(
            f"The held-out error is least at the last scanned dim3 ({', '.join(at_end)}), so the scan shows no optimum."
        )
    judged = {m.label: m.verdict for m in models.values() if m.verdict is not None}
    if corners := [f"{label} at dim3 {v.dim3}" for label, v in judged.items() if v.kind == "clear"]:
        said.append(f"A clear corner has the curve of {_list(corners)}.")
    elif judged:
        said.append("No curve has a clear corner.")
    if needs := [_need(m.label, m.choice) for m in scanned if not m.choice.missing]:
        wanted = Rule.parse(scanned[0].choice.rule).words
        said.append(f"A purpose has to choose: to {wanted}, {_list(needs)}.")
    return " ".join(said) or "No scan of PCA or of an autoencoder is here to choose from."


def _need(label: str, choice: Choice) -> str:
    if choice.reached:
        return f"{label} needs dim3 {choice.choice}"
    return f"{label} does not reach it up to dim3 {choice.below}"


def about_vae(answers: Answers) -> Sentences:
    """Task 4: samples of the VAE and of the autoencoder from the same z, blur, codes and repeated draws."""
    if "vae" not in answers.cast:
        return ["No run of a variational autoencoder was measured, so this task has no answer here."]
    return [_samples(answers), _blur(answers), f"{_codes(answers)} {_draws(answers)}"]


def _samples(answers: Answers) -> str:
    """Compare precision, and the recall of a model's own reconstructions, at each dim3."""
    rival = f"the autoencoder{' with the same loss' if 'same' in answers.cast else ''}"
    verdicts: dict[str, _Verdicts] = {"precision": {}, "coverage": {}}
    for dim3 in answers.shown:
        ae, vae = (_generator(answers, role, dim3) for role in (_rival(answers), "vae"))
        for quality, found in verdicts.items():
            if ae is not None and vae is not None and None not in (ae[quality], vae[quality]):
                lead = vae[quality].mean - ae[quality].mean
                found.setdefault(_all_above(vae[quality], ae[quality]), {})[dim3] = lead
    if not any(verdicts.values()):
        return "No measured runs decode the same z by the autoencoder and the VAE."
    real = {
        "more": (f"Decoded from the same z, more samples of the VAE than of {rival} lie among real rows", ""),
        "less": (f"Decoded from the same z, fewer samples of the VAE than of {rival} lie among real rows", "fewer"),
        "open": (f"It is undecided whether more samples of the VAE or of {rival} lie among real rows", "undecided"),
    }
    varied = {
        "more": ("The VAE's samples cover more of its reconstructions than the autoencoder's do of its own", ""),
        "less": ("The VAE's samples cover less of its reconstructions than the autoencoder's do of its own", "less"),
        "open": ("It is undecided whose samples cover more of the model's reconstructions", "undecided"),
    }
    sentences = [
        _by_dim3(verdicts["precision"], real, "difference in precision {:+.2f}"),
        _by_dim3(verdicts["coverage"], varied, "difference in recall {:+.2f}"),
    ]
    return " ".join(filter(None, sentences))


def _rival(answers: Answers) -> str:
    """The autoencoder to compare the VAE with: one with its loss, where there is one."""
    return "same" if "same" in answers.cast else "ae"


def _blur(answers: Answers) -> str:
    real = next((c.sharpness for c in answers.controls if c.source == Source.REAL), None)
    dim3 = answers.shown[0]
    vae = _generator(answers, "vae", dim3)
    if real is None or real.mean <= 0 or vae is None or vae.sharpness is None:
        return "Whether samples are blurred was not measured: the rows are no pictures, or the runs are older."
    shares = [value / real.mean for value in vae.sharpness.values]
    verdict = "The VAE's samples are blurred a little or not at all"
    if max(shares) <= _BLURRED:
        verdict = "The VAE's samples are blurred"
    elif min(shares) >= _SHARP:
        verdict = "The VAE's samples are as sharp as real pictures"
    sharp = percent(vae.sharpness.mean / real.mean)
    said = f"{verdict}: at dim3 {dim3} they have {sharp} of the sharpness of real pictures."
    mine, other = (_generator(answers, role, dim3, Source.RECONSTRUCTED) for role in ("vae", _rival(answers)))
    if mine is None or other is None or mine.sharpness is None or other.sharpness is None:
        return said
    loss = "with the same loss" if "same" in answers.cast else "with another loss"
    beside = {"less": "are blurrier than", "more": "are sharper than", "open": "may be as sharp as"}
    shares = [found.sharpness.mean / real.mean for found in (mine, other)]
    return (
        f"{said} Its reconstructions {beside[_all_above(mine.sharpness, other.sharpness)]} those of the "
        f"autoencoder {loss} ({percent(shares[0])} against {percent(shares[1])})."
    )


def _codes(answers: Answers) -> str:
    """Say in how many runs the codes differ from the prior, and whether they are nearer to it than the rival's."""
    label = answers.cast["vae"]
    if collapsed := [h.dim3 for h in answers.health if h.label == label and h.collapsed]:
        return f"The VAE collapsed at dim3 {_numbers(collapsed)}: its codes carry no information."
    rows = [p for p in answers.priors if p.label == label and p.of == "draws"]
    if not rows:
        return "Whether the VAE's codes follow N(0, I) was not measured."
    rejected, runs = sum(p.rejected for p in rows), sum(len(p.squared.values) for p in rows)
    said = (
        "A test by maximum mean discrepancy at the 5 % level distinguishes the VAE's codes from N(0, I) in "
        f"{rejected} of {runs} runs."
    )
    theirs = [p for p in answers.priors if p.label == answers.cast.get(_rival(answers)) and p.of == "codes"]
    nearer = {_all_above(p.squared, o.squared) for p in rows for o in theirs if p.dim3 == o.dim3}
    return f"{said} In every run they lie nearer to it than the autoencoder's." if nearer == {"less"} else said


def _draws(answers: Answers) -> str:
    draws = [d for d in answers.draws if d.label == answers.cast["vae"]]
    if not draws:
        return "Repeated samples were not measured."
    changes = "change" if min(min(d.new.values) for d in draws) > 0 else "do not change"
    new, same = (_span([d[seed].mean for d in draws], "{:.2g}") for seed in ("new", "same"))
    return (
        f"Samples {changes} from call to call: the mean squared difference of two calls is {new} with different seeds "
        f"and {same} with the same seed."
    )


def _row(rows: Iterable[Any], answers: Answers, role: str) -> Any:
    """Return the row of a table about a role at the first dim3 shown, or None."""
    label, dim3 = answers.cast.get(role), answers.shown[0]
    return next((row for row in rows if (row.label, row.dim3) == (label, dim3)), None)


def _generator(answers: Answers, role: str, dim3: int, source: Source | None = None) -> Any:
    """Return the samples of a role decoded from N(0, I), or from another source, at a dim3; None without."""
    wanted = source or (Source.OWN if role == "vae" else Source.NORMAL)
    place = (answers.cast.get(role), dim3, wanted)
    return next((g for g in answers.generators if (g.label, g.dim3, g.source) == place), None)


def _all_above(mine: Spread | None, other: Spread | None) -> str:
    """Say whether every run of one model is above every run of the other; one run each decides nothing."""
    if mine is None or other is None or min(len(mine.values), len(other.values)) < 2:
        return "open"
    if min(mine.values) > max(other.values):
        return "more"
    return "less" if max(mine.values) < min(other.values) else "open"


def _by_dim3(verdicts: _Verdicts, texts: Mapping[str, tuple[str, str]], unit: str, none: str = "") -> str:
    """Return a sentence that gives the verdict at each dim3, and in brackets the range of the numbers that decided.

    texts has, for each verdict, in order, the beginning of a sentence, and what follows another verdict; unit formats a
    number; none is the sentence where there is no verdict.
    """
    parts: list[str] = []
    for kind, (beginning, following) in texts.items():
        if kind in verdicts:
            known = [v for v in verdicts[kind].values() if v is not None]
            beyond = " and more" if len(known) < len(verdicts[kind]) else ""
            span = f" ({_span(known, unit)}{beyond})" if known else ""
            parts.append(f"{following if parts else beginning} at dim3 {_numbers(list(verdicts[kind]))}{span}")
    return f"{'; '.join(parts)}." if parts else none


def _span(values: Sequence[float], unit: str) -> str:
    """Return the range of numbers as text: `ratio 0.42 to 0.74` for the unit `ratio {:.2f}`."""
    words, colon, shown = unit.partition("{:")
    return words + " to ".join(dict.fromkeys((colon + shown).format(end(values)) for end in (min, max)))


def _numbers(dim3: list[int]) -> str:
    """Return dim3 as text: `2 to 10, 12 and 16`."""
    first, _, last = ranges(sorted(dim3)).rpartition(", ")
    return f"{first} and {last}" if first else last


def _list(words: Iterable[str]) -> str:
    """Return words as text: `a, b and c`."""
    *head, last = list(words)
    return f"{', '.join(head)} and {last}" if head else last
