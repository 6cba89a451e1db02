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
    ("mixing", "places", "said"),
    [
        ([0.9, 0.8], [0.1, -0.2], "Clusters keep their neighbours from run to run; where they lie is arbitrary."),
        ([0.2, 0.1], [0.9, 0.8], "Clusters change their neighbours from run to run; they keep their layout too"),
        ([0.9, 0.8], [0.5, 0.3], "run to run; where they lie is not kept, but for those that are near each other."),
        ([0.9, 0.8], [0.5, 0.8], "run to run; whether where they lie is kept as well these runs do not decide."),
        ([0.9, 0.1], [0.1, 0.1], "These runs do not decide whether clusters keep their neighbours; where they lie is"),
        ([0.5, 0.5], [0.1, 0.1], "Clusters keep only some of their neighbours from run to run; where they lie is arb"),
        ([0.5, 0.8], [0.5, 0.8], "do not decide whether clusters keep their neighbours, nor whether they keep their"),
        ([None], [None], "not enough classes"),
    ],
)
def test_clusters_of_several_runs(mixing: list[Any], places: list[Any], said: str) -> None:
    assert said in repeats(mixing, places)[0]


def test_classes_that_overlap_are_named_with_whether_they_always_do() -> None:
    assert repeats()[1] == "These classes overlap most, in every run: 4 with 9 and 3 with 5."
    others = [overlap(i, i + 1, 0.0, 0.2) for i in range(5)]
    changing = repeats(overlaps=[overlap(4, 9, 0.9, 0.0), *others])[1]
    assert changing.startswith("These classes overlap most, on average, and not in every run: 4 with 9, 0 with 1")
    assert "No two classes overlap" in repeats(overlaps=[overlap(4, 9, 0.04, 0.03)])[1]
    assert "This pair of classes overlaps most" in repeats(overlaps=[overlap(4, 9, 0.4, 0.3)])[1]
    assert "no classes" in repeats(overlaps=[])[1]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ([1.0, 1.01], "equally good: the seed hardly"),
        ([1.0, 1.3], "not equally good"),
        ([1.0, 1.08], "do not decide"),
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
    assert maps(less)[0] == "The autoencoder has a smaller test error than PCA at dim3 2; undecided at dim3 10."
    assert maps(more)[0].startswith("The autoencoder has a larger test error than PCA at dim3 2; undecided")
    assert maps(none)[0].startswith(
        "The data do not decide whether the autoencoder or PCA has the smaller test error at"
    )
    assert maps(none)[0].endswith("at dim3 2 and 10.")
    assert "No measured runs" in about_pca(answers())[0]


def test_plots_and_pictures_against_pca() -> None:
    low, high, wide = Estimate(0.4, 0.35, 0.45), Estimate(0.7, 0.65, 0.75), Estimate(0.5, 0.3, 0.72)
    one = Estimate(1, 1, 1)
    assert maps(one, (low, high))[1].startswith("The autoencoder's codes keep the classes better apart than PCA's;")
    assert maps(one, (high, low))[1].startswith("PCA's codes keep the classes better apart")
    assert maps(one, (wide, high))[1].startswith("The data do not decide whose codes")
    assert maps(one)[1].startswith("There are no classes")
    for outside, said in {
        (0.1, 0.0): "PCA's pictures leave the range",
        (0.0, 0.1): "the autoencoder's pictures leave the range",
        (0.1, 0.1): "both models' pictures leave",
        (0.0, 0.0): "the pictures of both stay in the range",
    }.items():
        assert said in maps(one, outside=outside)[1]


def refit(**more: float) -> str:
    row = {"again": 0.0, "other": 1e-9, "flipped": 1, "randomized": 0.5} | more
    return about_pca(answers(refits=[Bunch(**row)]))[2]


def test_pca_run_twice() -> None:
    assert refit() == (
        "Run twice, PCA gives the same result: only the signs of its axes are arbitrary; a randomized solver changes a "
        "little with its seed."
    )
    assert refit(flipped=0, randomized=0) == "Run twice, PCA gives the same result: even the signs agree here."
    assert "another exact program finds other axes" in refit(other=30)
    assert "PCA changes here" in refit(again=30)
    assert "was not measured" in about_pca(answers())[2]


def model(
    label: str, errors: Sequence[tuple[float, float, float]], worth: Sequence[Any] = (), corner: int = 0
) -> Bunch:
    """A scanned model: low, error and high of each dim3 from 2; components, low and high of each."""
    points = [Bunch(dim3=k, low=low, error=e, high=high) for k, (low, e, high) in enumerate(errors, 2)]
    raw = [Bunch(dim3=k, raw=Bunch(components=c, low=low, high=high)) for k, (c, low, high) in enumerate(worth, 2)]
    verdict = Bunch(kind="clear", dim3=corner) if corner else Bunch(kind="none", dim3=None)
    return Bunch(label=label, points=points, against=raw, verdict=verdict)


FALLS = [(2.9, 3, 3.1), (1.9, 2, 2.1), (0.9, 1, 1.1)]
RISES = [(2.9, 3, 3.1), (0.9, 1, 1.1), (1.9, 2, 2.1)]
FLAT = [(2.9, 3, 3.1), (0.9, 1, 1.1), (0.9, 1.01, 1.2)]


def dim3(*models: Bunch) -> list[str]:
    return about_dim3(Bunch(models=models), CAST)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("errors", "rises", "optimum"),
    [
        (FALLS, "falls at every step all the same.", "There is no optimum without a purpose"),
        (RISES, "its error rises at dim3 4.", "The least error is inside the range, ae's at dim3 3"),
        (
            FLAT,
            "rises anywhere the data do not decide.",
            "The least error is ae's at dim3 3, but the data do not decide",
        ),
    ],
)
def test_errors_against_dim3(errors: list[tuple[float, float, float]], rises: str, optimum: str) -> None:
    nature, _, best = dim3(model("pca", FALLS), model("ae", errors))
    assert nature.endswith(rises)
    assert best.startswith(optimum)
    assert "no curve has a corner" in best


def test_a_corner_is_named_and_one_point_is_no_curve() -> None:
    assert "where a curve has it: ae at dim3 3" in dim3(model("ae", FALLS, corner=3))[2]
    assert "no scan of an autoencoder" in dim3(model("ae", FALLS[:1]))[0]


def test_latents_in_eigenvectors() -> None:
    every = model("ae", FALLS, [(9, 8, 10), (2, 1, 2.5), (4, 3, 5)])
    assert dim3(every)[1] == (
        "A latent of the autoencoder is worth more than an eigenvector at dim3 2; less at dim3 3; undecided at dim3 4."
    )
    beyond = dim3(model("ae", FALLS, [(None, None, None)]))[1]  # better than all components
    assert beyond == "A latent of the autoencoder is worth more than an eigenvector at dim3 2."
    assert dim3(model("ae", FALLS, [(1, 0.5, 1.5)]))[1].startswith("A latent of the autoencoder is worth less")
    assert "needs runs of both" in dim3()[1]


def samples(label: str, source: Source, at: int = 2, **qualities: Sequence[float]) -> Bunch:
    names = ("precision", "coverage", "sharpness")
    return Bunch(label=label, source=source, dim3=at, **{n: _spread(qualities.get(n, ())) for n in names})


REAL = Bunch(source=Source.REAL, sharpness=Spread(1.0, None, [1.0]))
HIGH, LOW, MIDDLE = (0.9, 0.91), (0.1, 0.11), (0.1, 0.95)


@pytest.mark.parametrize(
    ("precision", "coverage", "said"),
    [
        (
            HIGH,
            HIGH,
            "the VAE's samples are more real and more varied than those of the autoencoder with the same loss at",
        ),
        (LOW, LOW, "the VAE's samples are less real and less varied"),
        (HIGH, LOW, "the VAE's samples are not both more real"),
        (MIDDLE, HIGH, "the VAE's samples are not both more real"),
        (HIGH[:1], HIGH[:1], "the VAE's samples are not both more real"),  # one run decides nothing
    ],
)
def test_samples_from_the_same_z(precision: tuple[float, ...], coverage: tuple[float, ...], said: str) -> None:
    vae = samples("vae", Source.OWN, precision=precision, coverage=coverage)
    ae = samples("ae (loss bce)", Source.NORMAL, precision=(0.5, 0.6), coverage=(0.5, 0.6))
    assert said in about_vae(answers(generators=[vae, ae]))[0]
    alone = answers(generators=[vae, Bunch(**ae | {"label": "ae"})], cast={"ae": "ae", "vae": "vae"})
    assert "than the autoencoder's" in about_vae(alone)[0]


@pytest.mark.parametrize(
    ("sampled", "rebuilt", "said"),
    [
        ((0.5, 0.6), (0.5, 0.6), "are blurred beside real pictures; its reconstructions are blurrier than those of"),
        ((0.97, 1.1), (0.9, 0.95), "are as sharp as real pictures; its reconstructions are sharper than those of"),
        ((0.75, 0.85), (0.6, 0.8), "these runs do not decide; its reconstructions are neither sharper nor blurrier"),
    ],
)
def test_blur(sampled: tuple[float, ...], rebuilt: tuple[float, ...], said: str) -> None:
    made = [
        samples("vae", Source.OWN, sharpness=sampled),
        samples("vae", Source.RECONSTRUCTED, sharpness=rebuilt),
        samples("ae (loss bce)", Source.RECONSTRUCTED, sharpness=(0.7, 0.75)),
    ]
    assert said in about_vae(answers(generators=made, controls=[REAL]))[1]
    assert "was not measured" in about_vae(answers(generators=made))[1]


def prior(label: str, of: str, rejected: int, *squared: float) -> Bunch:
    return Bunch(label=label, dim3=2, of=of, rejected=rejected, squared=_spread(squared))


def test_codes_beside_the_prior_and_draws() -> None:
    draws = [Bunch(label="vae", dim3=2, same=_spread([0.0]), new=_spread([0.1, 0.2]))]
    theirs = prior("ae (loss bce)", "codes", 2, 0.5, 0.6)
    cases = {
        (0, 0.0, 0.0): "The VAE's codes, all together, can't be told from N(0, I)",
        (1, 0.01, 0.0): "Whether the VAE's codes differ from N(0, I) these runs do not decide",
        (2, 0.01, 0.02): "The VAE's codes lie nearer to N(0, I) than the autoencoder's, though not exactly on it",
        (2, 0.55, 0.52): "The VAE's codes differ from N(0, I)",
    }
    for (rejected, *squared), said in cases.items():
        mine = prior("vae", "draws", int(rejected), *squared)
        text = about_vae(answers(priors=[mine, theirs], draws=draws))[2]
        assert text == f"{said}; a new call gives other pictures, the same seed repeats them."
    still = [Bunch(label="vae", dim3=2, same=_spread([0.1]), new=_spread([0.0]))]
    assert about_vae(answers(draws=still))[2].endswith(
        "a new call changes nothing, the same seed does not repeat them."
    )
    dead = about_vae(answers(health=[Bunch(label="vae", dim3=10, collapsed=True)]))[2]
    assert dead.startswith("The VAE collapsed at dim3 10")
    assert "no answer here" in about_vae(answers(cast={}))[0]
