"""The report as a page: what it says, that it escapes what strangers wrote, and that it loads nothing."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from elbowroom.analysis.elbow import Verdict
from elbowroom.analysis.findings.against_pca import Against, DecoderPart, Equivalent, who_wins
from elbowroom.analysis.findings.find import ComparisonFinding, Findings, ModelFinding, Pick, Point
from elbowroom.analysis.pages.report import (
    _MOST_RUNS,
    MOST_COMPARISONS,
    SECTIONS,
    Page,
    RunLine,
    columns_sentence,
    disagreements,
    interval,
    number,
    purposes,
    render,
    unknown,
    worth,
)
from elbowroom.analysis.purposes import Rule, no_choice
from elbowroom.analysis.purposes.choice import Choice
from elbowroom.analysis.reporting.experiment import _said
from elbowroom.analysis.runs.comparison import Comparison, LeftOut, Series
from elbowroom.tracking.store.names import Metric
from tests.hostile import Reader, check_page

PNG = b"\x89PNG\r\n" + bytes(60)
DIM3 = tuple(range(2, 12))
# One cell at dim3 6, without rows to be drawn.
CELLS = Series("ae", "ae", {6: {0: SimpleNamespace(digest="", run_id="a" * 32, seed=0)}})


def verdict(dim3: int | None = None, choice: int | None = 6) -> Verdict:
    """A clear elbow at dim3, or a smooth curve."""
    kind = "none" if dim3 is None else "clear"
    return Verdict(
        kind=kind,
        dim3=dim3,
        interval=None if dim3 is None else (dim3 - 1, dim3 + 1),
        choice=choice,
        rule="the smallest dim3 after which one more dimension lowers the error by less than 5 %",
        criteria={"kneedle": 5, "l_method": None, "one_standard_error": DIM3[-1]},
        delta_aicc=1.0,
        elasticity=4.5e-16,
        reason="a smooth curve (power) explains it as well",
    )


def choice(label: str, at: int | None = 6, rule: str = "keep:0.90") -> Choice:
    """A share kept from a dim3 on, or not by 11."""
    interval, words = (None, None), f"{label}: 90 % of the variance not reached by 11, which keeps 88 %"
    if at is not None:
        interval, words = (at - 1, at), f"{label} keeps 90 % of the variance with dim3 {at} ({at - 1} is not enough)"
    below = 11 if at is None else at - 1
    found = Choice(at, below, interval, at is not None, 0.9, 3, 5000, words, "of 5,000 rows")
    return replace(found, purpose="keep", rule=rule)


def of_vae(dim3: int) -> dict[Metric, float]:
    return {Metric.TEST_UNITS_IN_USE: dim3 - 0.5, Metric.VAL_ELBO: -100 - 60 / dim3}


def model(
    label: str = "ae",
    *,
    at: Verdict | None = None,
    level: float = 0.04,
    dim3: Sequence[int] = DIM3,
    seeds: int = 3,
    intervals: bool = True,
    pca: bool = True,
    undertrained: Sequence[int] = (),
    chosen: int | None = 6,
    unused: Sequence[int] = (),
) -> ModelFinding:
    """A series whose error is level / dim3, half as large as PCA's level is."""
    found = verdict() if at is None else at
    trained, vae = label != "pca", label == "vae"
    points, against = [], []
    for k in dim3:
        error = level * 2 / k
        low, high = (0.9 * error, 1.1 * error) if intervals else (None, None)
        point = Point(
            dim3=k, error=error, low=low, high=high, sd=0.05 * error if trained and seeds > 1 else None, test=error,
            seeds=seeds if trained else 1, bytes_per_code=4 * k, elbo_sd=0.5 if vae and seeds > 1 else None,
            metrics={Metric.FIT_SECONDS: 2.0 + k, Metric.PARAMETERS: 1000.0 * k} | (of_vae(k) if vae else {}),
        )  # fmt: skip
        points.append(point)
        if trained and pca:
            ratio = (0.5, 0.45, 0.55) if intervals else (0.5, None, None)
            raw, clipped = (
                Equivalent(n, n - 1 if intervals else None, n + 1 if intervals else None, 64)
                for n in (2.0 * k, 1.5 * k)
            )
            against.append(Against(k, error, 2 * error, *ratio, raw, clipped))
    return ModelFinding(
        label=label,
        model=label,
        loss="mse" if trained else "",
        trained=trained,
        seeds=list(range(seeds)) if trained else [],
        points=points,
        choice=choice(label, chosen),
        purposes=[choice(label, 4, "keep:0.80"), choice(label, chosen), choice(label, None, "keep:0.95")],
        columns=(0.02, 0.85),
        verdict=found,
        no_verdict="",
        sentence=choice(label, chosen).sentence,
        elbow=found.sentence(label),
        uncalibrated=None,
        confirmed=None,
        confirmation="unconfirmed: training too briefly can make a corner" if found.dim3 and trained else "",
        elbo_verdict=verdict(choice=7) if label == "vae" else None,
        undertrained=dict.fromkeys(undertrained, "its error is higher than before"),
        unused=dict.fromkeys(unused, 1.5),
        against=against,
        decoder=DecoderPart({}, []),
        versus=who_wins(label, against) if against else "",
        spectrum_criteria={} if trained else {"explained variance 90 %": 87, "profile likelihood": None},
    )


def three() -> list[ModelFinding]:
    return [
        model("pca", level=0.08),
        model("ae", at=verdict(6)),
        model("vae", level=0.05, undertrained=[9], unused=[10, 11]),
    ]


def comparison(models: list[ModelFinding] | None = None, **changes: object) -> ComparisonFinding:
    values: dict = {
        "name": "mnist, 20 epochs",
        "dataset": "mnist",
        "digest": "0123abcd",
        "settings": {"epochs": "20", "lr": "0.001"},
        "quick": False,
        "error_name": "validation error",
        "mean_row": 0.09,
        "missing": ["ae dim3 4 seed 2"],
        "notes": ["ae: seed 3 is not judged"],
        "models": three() if models is None else models,
        "intrinsic": {"TwoNN": 4.6, "maximum likelihood": 4.9, "participation ratio": 30.9, "parallel analysis": 104.0},
        "same_loss": ["with the same loss (bce), ae has 0.90 to 0.95 times the test error of vae"],
        "doubled": [LeftOut("d" * 32, "twice", "a later run of the same cell finished")],
        "pick": Pick("ae", 6, "a" * 32, 0, "it has the least error"),
        "pca_curve": None,
        "comparison": Comparison("mnist, 20 epochs", "mnist", "0123abcd", {}, [CELLS], []),
    }
    return ComparisonFinding(**(values | changes))


def findings(comparisons: list[ComparisonFinding] | None = None, **changes: object) -> Findings:
    values: dict = {
        "experiment": "elbowroom",
        "runs": ["a" * 32],
        "digest": "feed0123",
        "rule": "keep:0.90",
        "comparisons": [comparison()] if comparisons is None else comparisons,
        "left_out": [LeftOut("b" * 32, "broken", "its val/mse/final is nan")],
        "unfinished": [LeftOut("c" * 32, "slow", "RUNNING")],
        "versions": {"torch": ["2.14.1"]},
        "commits": ["abc1234 with changes"],
    }
    return Findings(**(values | changes))


def run(number: int = 0, name: str = "ae-6") -> RunLine:
    return RunLine(f"{number:032x}", name, "FINISHED", "ae", 6, 0, 0.0142, 0.0143, 41.2)


def page(**changes: object) -> Page:
    values: dict = {
        "title": "How many latent dimensions",
        "figures": {"mnist, 20 epochs": {s.name: PNG for s in SECTIONS if s.plot}},
        "live": {},
        "links": lambda run_id: f"http://127.0.0.1:5000/#/experiments/1/runs/{run_id}",
        "command": "python -m analysis.report --experiment elbowroom",
        "made_with": {"numpy": "2.4.6"},
        "note": "mlflow ui opens the runs",
        "runs": [run(), RunLine("e" * 32, "lost", "its dim3 is 'many', no number", "", None, None, None, None, None)],
        "registered": "registered as elbowroom-mnist, version 1",
    }
    return Page(**(values | changes))


def test_everything_is_said() -> None:
    read = Reader(render(findings(), page()))
    for each in three():
        assert each.sentence in read.text
        assert each.versus in read.text
    for said in (
        "vae by its validation -ELBO: least at dim3 = ",
        "To use: ae at dim3 = 6",
        "it has the least error",
        "Caution: unconfirmed: training too briefly can make a corner",
        "ae: seed 3 is not judged",
        "vae looks undertrained at dim3 9",
        "dim3 9: its error is higher than before",
        "vae has unused latents at dim3 10 to 11: see under “Undertrained, missing and doubled cells”",
        "1 cell is missing: see under “Undertrained, missing and doubled cells”",
        "dim3 11: 1.5 in use",
        "ae dim3 4 seed 2",
        "with the same loss (bce)",
        "twice: a later run of the same cell finished",
        "broken: its val/mse/final is nan",
        "slow: RUNNING",
        "registered as elbowroom-mnist",
        "python -m analysis.report --experiment elbowroom",
        "feed0123",
        "abc1234 with changes",
        "0.0133 [0.0120, 0.0147]",  # ae at dim3 6
        "12.0 [11.0, 13.0]",  # components that it is worth
        "0.500 [0.450, 0.550]",
        "TwoNN 4.60",
        "0123abcd",
        "mlflow ui opens the runs",
        "lostits dim3 is 'many', no number–––––",
    ):
        assert said in read.text, said
    assert "too few epochs to quote" not in read.text
    assert "too few epochs to quote" in render(findings([comparison(quick=True)]), page())


def test_what_stands_beside_a_choice() -> None:
    """The weighted bound beside the ELBO; and the rank, where it is smaller than the choice of a share."""
    vae = model("vae")
    points = [replace(p, metrics=p.metrics | {Metric.WEIGHTED_BOUND: p.dim3 / 2}) for p in vae.points]
    said = (
        f"of 64 draws is higher by {min(DIM3) / 2:.3g} at dim3 {min(DIM3)} to {max(DIM3) / 2:.3g} at dim3 {max(DIM3)}"
    )
    assert said in render(findings([comparison([replace(vae, points=points)])]), page())
    for most, shown in ((5, True), (6, False)):
        rank = replace(choice("ae", 4, "rank"), purpose="rank", interval=(4, most))
        text = render(findings([comparison([replace(model("ae"), purposes=[choice("ae", 6), rank])])]), page())
        noise = "Hidden entries are predicted no better with dim3 over 5: what larger dim3 add is noise"
        assert (noise in text) == shown


def ranked(low: int, at: int, high: int) -> Choice:
    return replace(choice("ae", at, "rank"), purpose="rank", interval=(low, high))


def test_what_a_sparse_grid_does_not_show_is_not_said() -> None:
    """Rank 6, scanned at 2, 4, 8 and 16: hidden entries say 3 to 7, and 90 % may be kept from 5 on."""
    rank = ranked(3, 4, 7)
    sparse = model("ae", dim3=(2, 4, 8, 16))
    for at, below, noise in ((8, 4, False), (16, 8, True)):
        kept = replace(choice("ae", at), below=below, interval=(at, at))
        one = replace(sparse, choice=kept, purposes=[kept, rank])
        assert ("over 7: what larger dim3 add is noise" in render(findings([comparison([one])]), page())) == noise
        apart = [f"ae {at} to keep 90 % of the variance, 4 to predict hidden entries best"] if noise else []
        assert disagreements(comparison([one])) == apart
    known = replace(choice("pca", 8), below=7, interval=(8, 8))  # PCA's curve is known between the scanned dim3
    assert disagreements(comparison([replace(sparse, choice=known, purposes=[known, rank])])) != []


def test_an_end_outside_the_range_and_a_choice_that_there_is_not() -> None:
    low = replace(choice("ae", 6), interval=(None, 11))
    high = replace(choice("ae", 6, "keep:0.95"), interval=(5, None))
    bare = replace(choice("ae", 6, "keep:0.80"), interval=None)
    elbow = Choice(None, None, None, False, None, 3, 0, "ae: no clear elbow", purpose="elbow", rule="elbow")
    lasts = [replace(choice("ae", None, rule), purpose=rule) for rule in ("rank", "generate:0.5")]
    one = replace(model("ae"), choice=low, purposes=[bare, low, high, *lasts, elbow])
    assert purposes(comparison([one])).rows == [
        ("keep 80 % of the variance", "6"),
        ("keep 90 % of the variance", "6 […, 11]"),
        ("keep 95 % of the variance", "6 [5, …]"),
        ("come within 0.5 nat of the best scanned ELBO", "not by 11"),
        ("predict hidden entries best", "not by 11"),
        ("reach the clear elbow", "none"),
    ]


def test_each_dash_has_its_reason_once() -> None:
    rank, classify, sample = (Rule.parse(text) for text in ("rank", "features", "generate"))
    measured = "rank is not measured: studies.scan --measure yes measures it for 10 columns or more"
    labels = "no features without labels"
    models = [model("pca"), model("ae"), model("vae")]
    found = [
        [no_choice(classify, "pca", labels), no_choice(rank, "pca", measured)],
        [no_choice(classify, "ae", labels), no_choice(rank, "ae", measured)],
        [no_choice(classify, "vae", labels), replace(choice("vae", 6, sample.text), purpose="generate")],
    ]
    shown = comparison([replace(m, purposes=[m.choice, *mine]) for m, mine in zip(models, found, strict=True)])
    assert unknown(shown) == [
        "pca, ae, vae: no features without labels",
        "pca, ae: generate is for models with an ELBO",
        f"pca, ae: {measured}",
        "vae: rank is not measured for a model with a prior: fitting a code to a row leaves the prior out",
    ]
    inforce = [replace(m, choice=mine[0]) for m, mine in zip(models, found, strict=True)]
    assert labels not in " ".join(unknown(comparison(inforce)))  # the sentence on the choice says it


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        (None, ""),
        (
            (0.4, 0.85),
            "Half of the columns keep at least 85 % of their own variance; the largest has 40 % of the total",
        ),
        (
            (0.975, -0.0141),
            "Half of the columns keep nothing of their own variance; the largest has 97.5 % of the total",
        ),
    ],
)
def test_a_loud_column(columns: tuple[float, float] | None, said: str) -> None:
    one = replace(model("ae"), columns=columns)
    assert columns_sentence(one) == said
    assert columns_sentence(one, 0.5) == (said if columns and columns[0] > 0.5 else "")
    text = _said(findings([comparison([one])]), [], Path("out"), "")
    assert ("the largest has 97.5 %" in text) == (columns == (0.975, -0.0141))


@pytest.mark.parametrize(
    ("rule", "head"), [("keep:0.90", "To use"), ("gain:0.05", "By gain:0.05"), ("elbow", "By elbow")]
)
def test_a_place_of_the_curve_is_not_recommended(rule: str, head: str) -> None:
    found = findings([comparison(pick=Pick("ae", 6, None, 0, "why"))], rule=rule)
    text = Reader(render(found, page())).text
    assert f"{head}: ae at dim3 = 6 (no run of this dim3 is in the store). why." in text
    for said in ("to use", "the same quality for all models"):
        assert (said in text.lower()) == (rule == "keep:0.90")
    assert f"  {head[0].lower()}{head[1:]}: ae at dim3 = 6; why" in _said(found, [], Path("out"), "")


def test_the_elbow_as_the_rule_is_said_once() -> None:
    found = verdict(6)
    chosen = Choice(6, 5, (5, 7), True, 0.02, 3, 0, found.sentence("ae"), purpose="elbow", rule="elbow")
    one = replace(model("ae", at=found), choice=chosen, purposes=[chosen], sentence=chosen.sentence)
    shown = findings([comparison([one])], rule="elbow")
    read = Reader(render(shown, page(figures={}))).text
    for text in (read, _said(shown, [], Path("out"), "")):
        assert text.count("ae: a clear elbow at dim3 6 (95 % interval 5 to 7)") == 1
    assert "Why: a smooth curve (power) explains it as well." in read


def test_choices_beyond_their_curve_are_named_beside_the_plot() -> None:
    shown = [comparison([model("pca", chosen=88), model("ae")])]
    assert (
        Reader(render(findings(shown), page())).text.count("Choices beyond their curve, without a star: pca 88.") == 1
    )
    assert "Choices beyond" not in render(findings(), page())


def test_it_loads_nothing_and_runs_its_own_script_alone() -> None:
    html = render(findings(), page())
    check_page(html)
    read = Reader(html)
    assert len(read.all("img")) == len([s for s in SECTIONS if s.plot])
    (policy,) = (m["content"] for m in read.all("meta") if m.get("http-equiv"))
    assert (policy or "").startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    digest = base64.b64encode(hashlib.sha256(read.scripts[1].encode()).digest()).decode()
    assert (policy or "").endswith(f"; script-src 'sha256-{digest}'")
    ids = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    here = {(a["href"] or "")[1:] for a in read.all("a") if (a["href"] or "").startswith("#")}
    assert here <= set(ids)


def test_figures_have_a_caption_and_an_alternative_text_with_numbers() -> None:
    read = Reader(render(findings(), page()))
    alts = {image["alt"] for image in read.all("img")}
    assert len({section.name for section in SECTIONS}) == len(SECTIONS)
    for section in SECTIONS:
        assert not section.folded or section.name == "nested" or section.title in read.text
        if section.plot is not None:
            assert section.plot.caption in read.text
            assert section.plot.alt(comparison()) in alts
    text = "\n".join(alts)
    assert "Error against dim3. pca: " in text
    assert "ae: 0.0400 at dim3 2, 0.00727 at 11, elbow 6 [5, 7], choice 6" in text
    assert "parallel analysis 104" in text
    assert "Principal components with the same test error. ae: dim3 2 is worth 4.00 [3.00, 5.00] components" in text
    assert "at dim3 6 by pca, ae, vae" in text


@pytest.mark.parametrize("address", ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "", None])
def test_only_web_addresses_are_links(address: str | None) -> None:
    read = Reader(render(findings(), page(links=lambda _: address)))
    assert all((a["href"] or "").startswith("#") for a in read.all("a"))
    assert "ae-6" in read.text


UNJUDGED = {"verdict": None, "no_verdict": "2 values of dim3 are no curve", "elbow": "ae: no verdict: 2 values"}


@pytest.mark.parametrize(
    "found",
    [
        findings([]),
        findings([comparison([model("pca")])]),
        findings([comparison([model("ae", seeds=1, pca=False)], intrinsic={}, pick=None)]),
        findings([comparison([replace(model("ae", dim3=(2, 3), intervals=False), **UNJUDGED)])]),
        findings([comparison([], missing=[], notes=[], same_loss=[], doubled=[], settings={})]),
        findings(left_out=[], unfinished=[], versions={}, commits=[], runs=[]),
    ],
)
def test_little_is_no_fault(found: Findings) -> None:
    read = Reader(render(found, page(figures={}, runs=[], registered="", note="", made_with={})))
    assert all(each.sentence in read.text for one in found.comparisons for each in one.models)
    assert read.all("img") == []
    assert ("No finished run can be judged" in read.text) == (not found.comparisons)


def test_comparisons_stand_apart() -> None:
    two = comparison(name="digits, 5 epochs", dataset="digits", settings={"epochs": "5", "lr": "0.001"})
    figures = {"mnist, 20 epochs": {"error": PNG}, "digits, 5 epochs": {"cost": PNG}}
    html = render(findings([comparison(), two]), page(figures=figures))
    first, second = html.split('<h2 id="c2">')
    assert "Error against dim3." in first
    assert "Error against dim3." not in second
    assert "Test error against seconds" in second
    assert "Unlike others here: epochs 20." in Reader(html).text
    assert "Unlike others here: epochs 5." in Reader(html).text
    assert [a["href"] for a in Reader(html).all("a")][:2] == ["#c1", "#c2"]


def test_a_large_store_stays_small() -> None:
    many = [LeftOut(f"{i:032x}", "n" * 10_000, "w" * 10_000) for i in range(10_000)]
    lots = [comparison(name=f"data {i}", missing=["m" * 500] * 1000, doubled=many) for i in range(100)]
    figures = {c.name: {"error": bytes(200_000), "cost": bytes(200_000)} for c in lots}
    runs = [run(i, "r" * 10_000) for i in range(10_000)]
    html = render(findings(lots, left_out=many, unfinished=many), page(figures=figures, runs=runs))
    assert len(html.encode()) < 5_000_000
    read = Reader(html)
    assert f"{10_000 - _MOST_RUNS} more are in result.json" in read.text
    assert f"{100 - MOST_COMPARISONS} more comparisons" in read.text
    assert "Left out to keep this file small" in read.text


@pytest.mark.parametrize(
    ("logged", "said"),
    [
        ({}, "TwoNN 13.6 (biased low above 10), maximum likelihood 4.90, parallel analysis 104"),
        (
            {"intrinsic_se": {"TwoNN": 0.167}, "intrinsic_rows": 9998},
            "TwoNN 13.6 ± 0.2 (SE; 9,998 rows; biased low above 10), maximum likelihood 4.90 (9,998 rows), "
            "parallel analysis 104",
        ),
    ],
    ids=["an old store", "with errors"],
)
def test_an_intrinsic_dimension_has_its_error_and_its_bias(logged: dict[str, Any], said: str) -> None:
    found = {"TwoNN": 13.56, "maximum likelihood": 4.9, "parallel analysis": 104.0}
    text = Reader(render(findings([comparison(intrinsic=found, **logged)]), page())).text
    assert f"The data's dimension by other methods: {said}." in text


def test_criteria() -> None:
    (criteria,) = [s for s in SECTIONS if s.name == "criteria"]
    (table,) = criteria.table(comparison())
    rows = {name: list(found) for name, *found in table.rows}
    assert rows["this report's elbow"] == ["none", "6 [5, 7]", "none"]
    assert rows["where returns diminish (gain:0.05)"] == ["6", "6", "6"]
    assert rows["l method"] == ["no answer"] * 3
    assert rows["one standard error"] == ["11 (end of the range)"] * 3
    assert rows["explained variance 90 %"] == ["87", "–", "–"]
    assert rows["profile likelihood"] == ["no answer", "–", "–"]
    assert rows["how far kneedle follows the range"] == ["0.00"] * 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0142, "0.0142"), (0.039, "0.0390"), (75.23, "75.2"), (123456.7, "123,457"), (0.00004567, "0.0000457"),
        (1.234e-9, "1.23e-09"), (0.0, "0"), (12.0, "12.0"), (-3.456, "-3.46"), (None, "–"), (float("nan"), "–"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ((75.23, 74.1, 76.0, 784), "75.2 [74.1, 76.0]"), ((75.23, 74.1, None, 80), "75.2 [74.1, > 80]"),
        ((None, 74.1, None, 80), "> 80 [74.1, > 80]"), ((None, None, None, 80), "> 80"),
        ((7.0, None, None, 80), "7.00, no interval"),
    ],
)  # fmt: skip
def test_worths(ends: tuple[float | None, float | None, float | None, int], text: str) -> None:
    assert worth(Equivalent(*ends)) == text


def test_intervals() -> None:
    assert interval(0.0142, (0.0139, 0.0145)) == "0.0142 [0.0139, 0.0145]"
    assert interval(0.0142, (None, None)) == "0.0142, no interval"
    assert interval(None, (None, None)) == worth(None) == "–"
