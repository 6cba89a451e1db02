"""The sentences that open the tasks: each with numbers that make it true, false, and undecided."""

from collections.abc import Sequence
from typing import Any

import pytest
from sklearn.utils import Bunch

from elbowroom.analysis.latent_space.answers import Estimate, Spread, _spread
from elbowroom.analysis.pages.sentences import about_dim3, about_pca, about_repeats, about_vae
from elbowroom.tracking.store.names import Source

CAST = {"pca": "pca", "ae": "ae", "vae": "vae", "same": "ae (loss bce)"}


def answers(**tables: Any) -> Any:
    names = ("repeats", "maps", "refits", "health", "priors", "draws", "generators", "controls")
    return Bunch(**{"shown": [2, 10], "cast": CAST} | {name: [] for name in names} | tables)


def overlap(first: int, second: int, *shares: float) -> Bunch:
    return Bunch(first=first, second=second, share=sum(shares) / len(shares), shares=shares)


def repeats(mixing: Sequence[Any] = (0.9,), places: Sequence[Any] = (0.1,), **more: Any) -> Any:
    """The sentences about two runs of the autoencoder."""
    row = Bunch(
        label="ae", dim3=2, note="", names=["seed 0", "seed 1"], collapsed=[], error=_spread([0.1, 0.101]),
        pairs=[Bunch(mixing=m, places=p) for m, p in zip(mixing, places, strict=True)],
        overlaps=[overlap(4, 9, 0.3, 0.2), overlap(3, 5, 0.1, 0.1), overlap(0, 1, 0.0, 0.0)],
    )  # fmt: skip
    row.update(more)
    return about_repeats(answers(repeats=[row]))


@pytest.mark.parametrize(
    ("mixing", "places", "neighbours", "layout"),
    [
        ([0.9, 0.8], [0.1, -0.2], "keep their neighbours from run to run (", "changes from run to run ("),
        ([0.2, 0.1], [0.9, 0.8], "change their neighbours from run to run (", "is kept, up to rotation, reflection"),
        ([0.5, 0.5], [0.5, 0.3], "keep their neighbours only in part (", "is kept only in part ("),
        ([0.9, 0.1], [0.5, 0.8], "keep their neighbours in some pairs", "is kept in some pairs of runs, but not in"),
    ],
)
def test_clusters_of_several_runs(mixing: list[float], places: list[float], neighbours: str, layout: str) -> None:
    said = repeats(mixing, places)[0]
    assert said.startswith(f"Clusters {neighbours}")
    assert f"Their layout {layout}" in said


def test_correlations_are_said_with_their_range() -> None:
    said = repeats([0.9, 0.8], [0.1, 0.1])[0]
    assert "(rank correlation of the class overlaps 0.80 to 0.90)" in said
    assert "(rank correlation of the class distances 0.10)" in said
    assert "not enough classes" in repeats([None], [None])[0]


def test_classes_that_overlap_are_named_with_whether_they_always_do() -> None:
    assert repeats()[1] == (
        "The classes that overlap most are 4 with 9 (25.0 % of a code's 5 nearest neighbours are of the other class) "
        "and 3 with 5. They are among the 5 most overlapping pairs of every run."
    )
    others = [overlap(i, i + 1, 0.0, 0.2) for i in range(5)]
    changing = repeats(overlaps=[overlap(4, 9, 0.9, 0.0), *others])[1]
    assert "of the other class), 0 with 1" in changing
    assert changing.endswith("In some runs other pairs overlap more.")
    assert "No two classes overlap much: at most 3.5 % of" in repeats(overlaps=[overlap(4, 9, 0.04, 0.03)])[1]
    assert "The classes that overlap most are 4 with 9 (35.0 %" in repeats(overlaps=[overlap(4, 9, 0.4, 0.3)])[1]
    assert "no classes" in repeats(overlaps=[])[1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ([1.0, 1.01], "The runs are equally good (SD of the test error over seeds: 0.7 % of its mean)."),
        ([1.0, 1.3], "The runs differ a lot (SD of the test error over seeds: 18.4 %"),
        ([1.0, 1.08], "The runs differ a little (SD of the test error over seeds: 5.4 %"),
        ([1.0], "is not known"),
    ],
)
def test_the_spread_of_errors(error: list[float], said: str) -> None:
    assert said in repeats(error=_spread(error))[2]


def test_runs_that_can_not_be_compared() -> None:
    assert repeats(note="one run alone") == ["one run alone."]
    assert repeats(collapsed=["seed 1"]) == ["seed 1 collapsed to one point, so there are no two runs to compare."]
    three = repeats(names=["seed 0", "seed 1", "seed 2"], collapsed=["seed 1"])
    assert three[0].startswith("seed 1 collapsed and is left out. Clusters keep")
    assert "no answer here" in about_repeats(answers(cast={}))[0]


def maps(
    ratio: Estimate, accuracies: Sequence[Estimate | None] = (None, None), outside: Sequence[float] = (0, 0)
) -> list[str]:
    rows = [
        Bunch(label=label, dim3=2, ratio=ratio, accuracy=accuracy, outside=_spread([share]))
        for label, accuracy, share in zip(("pca", "ae"), accuracies, outside, strict=True)
    ]
    return about_pca(answers(maps=[*rows, Bunch(**rows[1] | {"dim3": 10, "ratio": Estimate(1, 0.9, 1.1)})]))


def test_errors_against_pca_at_each_dim3() -> None:
    less, more, none = Estimate(0.5, 0.4, 0.6), Estimate(2, 1.5, 3), Estimate(0.5, None, None)
    assert maps(less)[0] == (
        "The autoencoder has a smaller test error than PCA at dim3 2 (ratio 0.5); undecided at dim3 10 (ratio 1)."
    )
    assert maps(more)[0].startswith("The autoencoder has a larger test error than PCA at dim3 2 (ratio 2); undecided")
    assert maps(none)[0].startswith(
        "The data do not decide whether the autoencoder or PCA has the smaller test error at"
    )
    assert maps(none)[0].endswith("at dim3 2 and 10 (ratio 0.5 to 1).")
    assert "No measured runs" in about_pca(answers())[0]


def test_plots_and_pictures_against_pca() -> None:
    low, high, wide = Estimate(0.4, 0.35, 0.45), Estimate(0.7, 0.65, 0.75), Estimate(0.5, 0.3, 0.72)
    one = Estimate(1, 1, 1)
    assert maps(one, (low, high))[1].startswith(
        "The autoencoder's codes keep the classes better apart than PCA's (class told by the nearest codes: "
        "autoencoder 70.0 %, PCA 40.0 % of the rows)."
    )
    assert maps(one, (high, low))[1].startswith("PCA's codes keep the classes better apart")
    assert maps(one, (wide, high))[1].startswith("The data do not decide whose codes")
    assert maps(one)[1].startswith("There are no classes")
    assert maps(one, outside=(0.077, 0))[1].endswith(
        "Of the values that PCA generates, 7.7 % lie outside the range of the data and are clipped in the pictures; of "
        "the autoencoder's, 0.0 %."
    )


def refit(**more: float) -> str:
    row = {"again": 0.0, "other": 1e-9, "flipped": 1, "randomized": 0.5} | more
    return about_pca(answers(refits=[Bunch(**row)]))[2]


def test_pca_run_twice() -> None:
    assert refit() == (
        "PCA run twice gives the same subspace (largest angle 0°); only the signs of its axes are arbitrary. Between "
        "two seeds of a randomized solver, the angle is up to 0.50°."
    )
    assert "not even the signs of its axes are arbitrary" in refit(flipped=0)
    assert "another exact solver gives another one (largest angle 30°)" in refit(other=30)
    assert refit(again=30) == "PCA run twice on the same rows gives other subspaces (largest angle 30°)."
    assert "was not measured" in about_pca(answers())[2]


def model(
    label: str, errors: Sequence[tuple[float, float, float]], worth: Sequence[Any] = (), corner: int = 0
) -> Bunch:
    """A scanned model: low, error and high of each dim3 from 2; components, low and high of each."""
    points = [Bunch(dim3=k, low=low, error=e, high=high) for k, (low, e, high) in enumerate(errors, 2)]
    raw = [Bunch(dim3=k, raw=Bunch(components=c, low=low, high=high)) for k, (c, low, high) in enumerate(worth, 2)]
    verdict = Bunch(kind="clear", dim3=corner) if corner else Bunch(kind="none", dim3=None)
    choice = Bunch(choice=None, below=4, reached=False, missing="", rule="keep:0.90")
    return Bunch(label=label, points=points, against=raw, verdict=verdict, choice=choice)


FALLS = [(2.9, 3, 3.1), (1.9, 2, 2.1), (0.9, 1, 1.1)]
RISES = [(2.9, 3, 3.1), (0.9, 1, 1.1), (1.9, 2, 2.1)]
FLAT = [(2.9, 3, 3.1), (0.9, 1, 1.1), (0.9, 1.01, 1.2)]


def dim3(*models: Bunch) -> list[str]:
    return about_dim3(Bunch(models=models), CAST)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("errors", "rises", "optimum"),
    [
        (FALLS, "falls at every step, from 3.00 at dim3 2 to 1.00 at 4.", "at the last scanned dim3 (pca 4, ae 4), so"),
        (
            RISES,
            "rises at dim3 4, by more than the 95 %",
            "The held-out error of ae is least at dim3 3; at the last scanned, 4, it is higher.",
        ),
        (FLAT, "rises at dim3 4, but within the 95 %", "at the last scanned, 4, it is not shown to be higher."),
    ],
)
def test_errors_against_dim3(errors: list[tuple[float, float, float]], rises: str, optimum: str) -> None:
    nature, _, best = dim3(model("pca", FALLS), model("ae", errors))
    assert rises in nature
    assert optimum in best
    assert "No curve has a clear corner." in best


def test_a_corner_and_the_choices_are_named_and_one_point_is_no_curve() -> None:
    assert "A clear corner has the curve of ae at dim3 3." in dim3(model("ae", FALLS, corner=3))[2]
    reached = model("pca", FALLS)
    reached.choice = Bunch(choice=88, below=87, reached=True, missing="", rule="keep:0.90")
    assert dim3(reached, model("ae", FALLS))[2].endswith(
        "to keep 90 % of the variance, pca needs dim3 88 and ae does not reach it up to dim3 4."
    )
    one = dim3(model("ae", FALLS[:1]))
    assert "no scan of an autoencoder" in one[0]
    assert "No scan" in dim3()[2]


def test_latents_in_eigenvectors() -> None:
    every = model("ae", FALLS, [(9, 8, 10), (2, 1, 2.5), (4, 3, 5)])
    assert dim3(every)[1] == (
        "A latent of the autoencoder is worth more than an eigenvector at dim3 2 (eigenvectors per latent: 4.5); less "
        "at dim3 3 (eigenvectors per latent: 0.67); undecided at dim3 4 (eigenvectors per latent: 1)."
    )
    all_components = (None, None, None)  # of which none has as small an error
    assert dim3(model("ae", FALLS, [all_components]))[1] == (
        "A latent of the autoencoder is worth more than an eigenvector at dim3 2."
    )
    (_, more, _) = dim3(model("ae", FALLS, [(9, 8, 10), all_components]))
    assert more.endswith("(eigenvectors per latent: 4.5 and more).")
    assert dim3(model("ae", FALLS, [(1, 0.5, 1.5)]))[1].startswith("A latent of the autoencoder is worth less")
    assert "needs runs of both" in dim3()[1]


def samples(label: str, source: Source, at: int = 2, **qualities: Sequence[float]) -> Bunch:
    names = ("precision", "coverage", "sharpness")
    return Bunch(label=label, source=source, dim3=at, **{n: _spread(qualities.get(n, ())) for n in names})


REAL = Bunch(source=Source.REAL, sharpness=Spread(1.0, None, [1.0]))
HIGH, LOW, MIDDLE = (0.9, 0.91), (0.1, 0.11), (0.1, 0.95)


@pytest.mark.parametrize(
    ("precision", "coverage", "real", "varied"),
    [
        (HIGH, LOW, "Decoded from the same z, more samples of the VAE than of {}", "cover less of its reconstructions"),
        (LOW, HIGH, "Decoded from the same z, fewer samples of the VAE than of {}", "cover more of its"),
        (MIDDLE, MIDDLE, "It is undecided whether more samples of the VAE or of {}", "It is undecided whose samples"),
        (HIGH[:1], HIGH[:1], "It is undecided whether more samples of the VAE or of {}", "It is undecided whose"),
    ],
)
def test_samples_from_the_same_z(
    precision: tuple[float, ...], coverage: tuple[float, ...], real: str, varied: str
) -> None:
    vae = samples("vae", Source.OWN, precision=precision, coverage=coverage)
    ae = samples("ae (loss bce)", Source.NORMAL, precision=(0.5, 0.6), coverage=(0.5, 0.6))
    said = about_vae(answers(generators=[vae, ae]))[0]
    assert said.startswith(real.format("the autoencoder with the same loss lie among real rows at dim3 2 ("))
    assert varied in said
    alone = answers(generators=[vae, Bunch(**ae | {"label": "ae"})], cast={"ae": "ae", "vae": "vae"})
    assert "of the autoencoder lie among real rows" in about_vae(alone)[0]


def test_samples_at_each_dim3() -> None:
    made = [
        samples(label, source, at, precision=precision, coverage=(0.5, 0.5))
        for at, lead in ((2, 0.25), (10, 0.0))
        for label, source, precision in (
            ("vae", Source.OWN, (0.5 + lead, 0.5 + lead)),
            ("ae (loss bce)", Source.NORMAL, (0.5, 0.5)),
        )
    ]
    assert (
        "lie among real rows at dim3 2 (difference in precision +0.25); undecided at dim3 10 (difference in precision "
        "+0.00). It is undecided whose samples cover more of the model's reconstructions at dim3 2 and 10 (difference "
        "in recall +0.00)."
    ) in about_vae(answers(generators=made))[0]
    assert "No measured runs" in about_vae(answers())[0]


@pytest.mark.parametrize(
    ("sampled", "rebuilt", "sharp", "beside"),
    [
        ((0.5, 0.6), (0.5, 0.6), "are blurred: at dim3 2 they have 55.0 %", "are blurrier than those of the"),
        ((0.97, 1.1), (0.9, 0.95), "are as sharp as real pictures: at dim3 2 they have 103.5 %", "are sharper than"),
        ((0.75, 0.85), (0.6, 0.8), "are blurred a little or not at all: at dim3 2 they have 80.0 %", "may be as sharp"),
    ],
)
def test_blur(sampled: tuple[float, ...], rebuilt: tuple[float, ...], sharp: str, beside: str) -> None:
    made = [
        samples("vae", Source.OWN, sharpness=sampled),
        samples("vae", Source.RECONSTRUCTED, sharpness=rebuilt),
        samples("ae (loss bce)", Source.RECONSTRUCTED, sharpness=(0.7, 0.75)),
    ]
    said = about_vae(answers(generators=made, controls=[REAL]))[1]
    assert said.startswith(f"The VAE's samples {sharp} of the sharpness of real pictures. Its reconstructions {beside}")
    assert said.endswith(f"with the same loss ({50 * sum(rebuilt):.1f} % against 72.5 %).")
    assert "was not measured" in about_vae(answers(generators=made))[1]


def prior(label: str, of: str, rejected: int, *squared: float) -> Bunch:
    return Bunch(label=label, dim3=2, of=of, rejected=rejected, squared=_spread(squared))


def test_codes_beside_the_prior() -> None:
    theirs = prior("ae (loss bce)", "codes", 2, 0.5, 0.6)
    test = "A test by maximum mean discrepancy at the 5 % level distinguishes the VAE's codes from N(0, I) in {} of 2 "
    test += "runs."
    nearer = " In every run they lie nearer to it than the autoencoder's."
    for rejected, squared, said in (
        (0, (0.0, 0.0), test.format(0) + nearer),
        (2, (0.01, 0.02), test.format(2) + nearer),
        (2, (0.55, 0.52), test.format(2)),
    ):
        mine = prior("vae", "draws", rejected, *squared)
        assert about_vae(answers(priors=[mine, theirs]))[2] == f"{said} Repeated samples were not measured."
    dead = about_vae(answers(health=[Bunch(label="vae", dim3=10, collapsed=True)]))[2]
    assert dead.startswith("The VAE collapsed at dim3 10: its codes")
    assert "no answer here" in about_vae(answers(cast={}))[0]


def test_draws_repeated() -> None:
    draws = [Bunch(label="vae", dim3=2, same=_spread([0.0]), new=_spread([0.1, 0.2]))]
    assert about_vae(answers(draws=draws))[2].endswith(
        "Samples change from call to call: the mean squared difference of two calls is 0.15 with different seeds and 0 "
        "with the same seed."
    )
    still = [Bunch(label="vae", dim3=2, same=_spread([0.1]), new=_spread([0.0]))]
    assert "Samples do not change from call to call" in about_vae(answers(draws=still))[2]
