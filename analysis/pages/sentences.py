"""The sentences that open each task of the assignment's page: three for each, made from the numbers by rules.

A sentence says what the numbers decide, and says so where they do not. The numbers themselves are in the page's tables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sklearn.utils import Bunch

from elbowroom.tracking.store.names import Source
from elbowroom.tracking.store.text import ranges

from ..findings.find import ComparisonFinding, ModelFinding
from ..latent_space.answers import MIXED_WITH, Answers, Estimate, Spread

_KEPT, _ARBITRARY = 0.7, 0.4  # rank correlation from which an order is kept, and up to which it may be chance
_OVERLAP = 0.05  # share of the nearest neighbours from which two classes overlap
_NAMED, _AMONG = 3, 5  # pairs of classes that are named; they recur if they are among the first five of every run
_EQUAL, _UNEQUAL = 0.02, 0.10  # SD over runs of the error, as a share of its mean
_OUTSIDE = 0.001  # share of generated values from which a model leaves the range of the data
_SAME_ANGLE = 0.01  # degrees that rounding makes
_SHARP, _BLURRED = 0.95, 0.80  # sharpness over that of real rows: as sharp from here on, blurred up to there
Sentences = list[str]


def about_repeats(answers: Answers) -> Sentences:
    """Task 1: whether runs of the autoencoder agree in neighbourhoods and places, which classes overlap, the error."""
    found = _row(answers.repeats, answers, "ae")
    if found is None:
        return ["No run of an autoencoder was measured, so this task has no answer here."]
    if found.note:
        return [f"{found.note}."]
    left = [name for name in found.names if name not in found.collapsed]
    if len(left) < 2:
        return [f"{_list(found.collapsed)} collapsed to one point, so there are no two runs to compare."]
    texts = [_agreement(found), _overlapping(found), _spread_of_errors(found.error)]
    return [
        f"{_list(found.collapsed)} collapsed and is left out. {texts[0]}" if found.collapsed else texts[0],
        *texts[1:],
    ]


def _agreement(found: Bunch) -> str:
    mixing, places = ([p[name] for p in found.pairs if p[name] is not None] for name in ("mixing", "places"))
    if not mixing or not places:
        return "There are not enough classes to say whether clusters keep their neighbours from run to run."
    if (_kept(mixing), _kept(places)) == ("open", "open"):
        return "These runs do not decide whether clusters keep their neighbours, nor whether they keep their layout."
    neighbours = {
        "yes": "Clusters keep their neighbours from run to run",
        "part": "Clusters keep only some of their neighbours from run to run",
        "no": "Clusters change their neighbours from run to run",
        "open": "These runs do not decide whether clusters keep their neighbours",
    }[_kept(mixing)]
    layout = {
        "yes": "they keep their layout too, up to rotation, reflection and scale",
        "part": "where they lie is not kept, but for those that are near each other",
        "no": "where they lie is arbitrary",
        "open": "whether where they lie is kept as well these runs do not decide",
    }[_kept(places)]
    return f"{neighbours}; {layout}."


def _kept(correlations: Sequence[float]) -> str:
    """Say whether an order is kept in every pair of runs, in part, not more than by chance, or whether runs differ."""
    if min(correlations) >= _KEPT:
        return "yes"
    if max(correlations) >= _KEPT:
        return "open"
    return "no" if max(correlations) <= _ARBITRARY else "part"


def _overlapping(found: Bunch) -> str:
    """Name the pairs of classes that overlap, and say whether they do in every run."""
    pairs = [o for o in found.overlaps if o.share >= _OVERLAP][:_NAMED]
    if not found.overlaps:
        return "The rows have no classes whose overlap could be measured."
    if not pairs:
        return f"No two classes overlap: of a code's {MIXED_WITH} nearest neighbours hardly any are of another class."
    names = _list(f"{o.first} with {o.second}" for o in pairs)
    recurs = all(all(_rank(found.overlaps, o, run) < _AMONG for run in range(len(o.shares))) for o in pairs)
    every = "in every run" if recurs else "on average, and not in every run"
    what = "This pair of classes overlaps" if len(pairs) == 1 else "These classes overlap"
    return f"{what} most, {every}: {names}."


def _rank(overlaps: Sequence[Bunch], pair: Bunch, run: int) -> int:
    return sum(o.shares[run] > pair.shares[run] for o in overlaps)


def _spread_of_errors(error: Spread | None) -> str:
    if error is None or error.sd is None or error.mean <= 0:
        return "Whether the runs are equally good is not known: fewer than two have a test error."
    share = error.sd / error.mean
    if share <= _EQUAL:
        return "The runs are equally good: the seed hardly moves the test error."
    if share >= _UNEQUAL:
        return "The runs are not equally good: the seed moves the test error, so one run is not the method."
    return "The seed moves the test error a little; these runs do not decide whether some are better than others."


def about_pca(answers: Answers) -> Sentences:
    """Task 2: the autoencoder against PCA by error, by the plot and the pictures, and PCA run twice."""
    return [_errors(answers), _plots(answers), _refit(answers.refits)]


def _errors(answers: Answers) -> str:
    verdicts: dict[str, list[int]] = {}
    for row in answers.maps:
        if row.label == answers.cast.get("ae") and row.ratio is not None:
            verdicts.setdefault(_against_one(row.ratio), []).append(row.dim3)
    return _by_dim3(
        verdicts,
        {
            "less": ("The autoencoder has a smaller test error than PCA", ""),
            "more": ("The autoencoder has a larger test error than PCA", "a larger one"),
            "open": ("The data do not decide whether the autoencoder or PCA has the smaller test error", "undecided"),
        },
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
    classes = {
        "more": "The autoencoder's codes keep the classes better apart than PCA's",
        "less": "PCA's codes keep the classes better apart than the autoencoder's",
        "open": "The data do not decide whose codes keep the classes better apart",
        "none": "There are no classes to compare the plots by",
    }[_apart(ae.accuracy, pca.accuracy)]
    if pca.outside is None or ae.outside is None:
        return f"{classes}; the range of generated pictures was not measured."
    leaves = (pca.outside.mean > _OUTSIDE, ae.outside.mean > _OUTSIDE)
    pictures = {
        (True, False): "PCA's pictures leave the range of the data and are clipped where they are drawn, the "
        "autoencoder's stay in it",
        (True, True): "both models' pictures leave the range of the data and are clipped where they are drawn",
        (False, True): "the autoencoder's pictures leave the range of the data and are clipped where they are drawn, "
        "PCA's stay in it",
        (False, False): "the pictures of both stay in the range of the data",
    }[leaves]
    return f"{classes}; {pictures}."


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
    if max(r.again for r in refits) > _SAME_ANGLE:
        return "Run twice on the same rows, PCA changes here, so its eigenvalues are too close to tell the axes apart."
    if max(r.other for r in refits) > _SAME_ANGLE:
        return (
            "Run twice, the same program repeats itself; another exact program finds other axes, so these data do not "
            "fix them."
        )
    signs = (
        "only the signs of its axes are arbitrary" if any(r.flipped for r in refits) else "even the signs agree here"
    )
    randomized = max(r.randomized for r in refits) > _SAME_ANGLE
    end = "; a randomized solver changes a little with its seed" if randomized else ""
    return f"Run twice, PCA gives the same result: {signs}{end}."


def about_dim3(finding: ComparisonFinding, cast: Mapping[str, str]) -> Sentences:
    """Task 3: eigenvectors against latents, what one is worth in the other, and whether there is an optimum."""
    models = {role: m for role, label in cast.items() for m in finding.models if m.label == label}
    return [_nature(models.get("ae")), _worth(models.get("ae")), _optimum(models)]


def _nature(model: ModelFinding | None) -> str:
    nested = (
        "PCA is one nested fit: its training error is the sum of the discarded eigenvalues and never rises with dim3"
    )
    if model is None or len(model.points) < 2:
        return f"{nested}; no scan of an autoencoder is here to compare."
    steps = list(zip(model.points, model.points[1:], strict=False))
    rises = [b for a, b in steps if b.error > a.error]
    sure = [b.dim3 for a, b in steps if None not in (a.high, b.low) and (b.low or 0) > (a.high or 0)]
    end = "its error falls at every step all the same"
    if sure:
        end = f"its error rises at dim3 {_numbers(sure)}"
    elif rises:
        end = "whether its error rises anywhere the data do not decide"
    return f"{nested}. The autoencoder's latents are unordered and trained anew at each dim3; {end}."


def _worth(model: ModelFinding | None) -> str:
    verdicts: dict[str, list[int]] = {}
    for one in [] if model is None else model.against:
        if one.raw is not None:
            low, high = one.raw.low, one.raw.high
            open_ended = one.raw.components is None or (high is None and low is not None and low > one.dim3)
            if open_ended or (low is not None and low > one.dim3):
                verdict = "more"
            else:
                verdict = "less" if high is not None and high < one.dim3 else "open"
            verdicts.setdefault(verdict, []).append(one.dim3)
    return _by_dim3(
        verdicts,
        {
            "more": ("A latent of the autoencoder is worth more than an eigenvector", ""),
            "less": ("A latent of the autoencoder is worth less than an eigenvector", "less"),
            "open": ("The data do not decide whether a latent is worth more than an eigenvector", "undecided"),
        },
        "What a latent is worth in eigenvectors needs runs of both models.",
    )


def _optimum(models: Mapping[str, ModelFinding]) -> str:
    """Say whether the range has an optimum of dim3 by the error, or by a corner."""
    inside: list[str] = []
    undecided: list[str] = []
    for role in ("pca", "ae"):
        model = models.get(role)
        if model is None or len(model.points) < 2:
            continue
        least, last = min(model.points, key=lambda p: p.error), model.points[-1]
        if least is not last:
            sure = None not in (least.high, last.low) and (last.low or 0) > (least.high or 0)
            (inside if sure else undecided).append(f"{model.label}'s at dim3 {least.dim3}")
    corners = [
        f"{m.label} at dim3 {m.verdict.dim3}"
        for m in models.values()
        if m.verdict is not None and m.verdict.kind == "clear"
    ]
    corner = (
        f"a corner is one answer, where a curve has it: {_list(dict.fromkeys(corners))}"
        if corners
        else "no curve has a corner"
    )
    rule = "so a purpose has to choose, by a rule that is fixed beforehand"
    if inside:
        return f"The least error is inside the range, {_list(inside)}, so beyond it more latents do not pay; {corner}."
    if undecided:
        return (
            f"The least error is {_list(undecided)}, but the data do not decide between it and the end of the range; "
            f"{corner}, {rule}."
        )
    return f"There is no optimum without a purpose: the error is least at the end of any range; {corner}, {rule}."


def about_vae(answers: Answers) -> Sentences:
    """Task 4: samples of the VAE and of the autoencoder from the same z, blur, codes and repeated draws."""
    if "vae" not in answers.cast:
        return ["No run of a variational autoencoder was measured, so this task has no answer here."]
    return [_samples(answers), _blur(answers), _codes_and_draws(answers)]


def _samples(answers: Answers) -> str:
    verdicts: dict[str, list[int]] = {}
    rival = "those of the autoencoder with the same loss" if "same" in answers.cast else "the autoencoder's"
    for dim3 in answers.shown:
        ae, vae = (_generator(answers, role, dim3) for role in (_rival(answers), "vae"))
        if ae is None or vae is None:
            continue
        found = {_all_above(vae[q], ae[q]) for q in ("precision", "coverage")}
        verdicts.setdefault(found.pop() if len(found) == 1 else "open", []).append(dim3)
    return _by_dim3(
        verdicts,
        {
            "more": (f"Decoded from the same z, the VAE's samples are more real and more varied than {rival}", ""),
            "less": (
                f"Decoded from the same z, the VAE's samples are less real and less varied than {rival}",
                "less so",
            ),
            "open": (
                f"Decoded from the same z, the VAE's samples are not both more real and more varied than {rival}, "
                "nor the reverse,",
                "not both, nor the reverse,",
            ),
        },
        "No measured runs decode the same z by the autoencoder and the VAE.",
    )


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
    if max(shares) <= _BLURRED:
        first = "The VAE's samples are blurred beside real pictures"
    elif min(shares) >= _SHARP:
        first = "The VAE's samples are as sharp as real pictures"
    else:
        first = "Whether the VAE's samples are blurred these runs do not decide"
    mine, other = (_generator(answers, role, dim3, Source.RECONSTRUCTED) for role in ("vae", _rival(answers)))
    if mine is None or other is None or mine.sharpness is None or other.sharpness is None:
        return f"{first}."
    whose = (
        "the autoencoder with the same loss" if "same" in answers.cast else "the autoencoder, which has another loss"
    )
    cause = {
        "less": f"its reconstructions are blurrier than those of {whose}",
        "more": f"its reconstructions are sharper than those of {whose}",
        "open": f"its reconstructions are neither sharper nor blurrier, run by run, than those of {whose}",
    }[_all_above(mine.sharpness, other.sharpness)]
    return f"{first}; {cause}."


def _codes_and_draws(answers: Answers) -> str:
    """Say whether the codes follow the prior, and whether samples differ from call to call."""
    label = answers.cast["vae"]
    health = [h for h in answers.health if h.label == label]
    if any(h.collapsed for h in health):
        where = _numbers([h.dim3 for h in health if h.collapsed])
        return f"The VAE collapsed at dim3 {where}: its codes say nothing, and each call gives the same picture."
    rows = [p for p in answers.priors if p.label == label and p.of == "draws"]
    beyond = [p.rejected / len(p.squared.values) for p in rows]
    if not beyond:
        codes = "Whether the VAE's codes follow N(0, I) was not measured"
    elif max(beyond) == 0:
        codes = "The VAE's codes, all together, can't be told from N(0, I)"
    else:
        theirs = [p for p in answers.priors if p.label == answers.cast.get(_rival(answers)) and p.of == "codes"]
        nearer = {_all_above(p.squared, o.squared) for p in rows for o in theirs if p.dim3 == o.dim3}
        codes = "The VAE's codes differ from N(0, I)"
        if min(beyond) < 1:
            codes = "Whether the VAE's codes differ from N(0, I) these runs do not decide"
        elif nearer == {"less"}:
            codes = "The VAE's codes lie nearer to N(0, I) than the autoencoder's, though not exactly on it"
    draws = [d for d in answers.draws if d.label == label]
    if not draws:
        return f"{codes}; repeated samples were not measured."
    again = (
        "the same seed repeats them" if max(d.same.mean for d in draws) == 0 else "the same seed does not repeat them"
    )
    new = (
        "a new call gives other pictures" if min(min(d.new.values) for d in draws) > 0 else "a new call changes nothing"
    )
    return f"{codes}; {new}, {again}."


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


def _by_dim3(verdicts: Mapping[str, list[int]], texts: Mapping[str, tuple[str, str]], none: str) -> str:
    """Return a sentence that gives the verdict at each dim3.

    Parameters
    ----------
    verdicts
        The dim3 of each verdict.
    texts
        Of each verdict, in order: the beginning of a sentence, and what follows another verdict.
    none
        The sentence where there is no verdict.
    """
    known = [kind for kind in texts if kind in verdicts]
    parts = [f"{texts[kind][i > 0]} at dim3 {_numbers(verdicts[kind])}" for i, kind in enumerate(known)]
    return f"{'; '.join(parts)}." if parts else none


def _numbers(dim3: list[int]) -> str:
    """Return dim3 as text: `2 to 10, 12 and 16`."""
    first, _, last = ranges(sorted(dim3)).rpartition(", ")
    return f"{first} and {last}" if first else last


def _list(words: Iterable[str]) -> str:
    """Return words as text: `a, b and c`."""
    *head, last = list(words)
    return f"{', '.join(head)} and {last}" if head else last
