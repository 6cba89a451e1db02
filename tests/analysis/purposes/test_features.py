"""The purpose `features`, on labels whose dimension is known."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbowroom.analysis.purposes.features import features
from elbowroom.analysis.purposes.probe import Coded, Sample
from tests.conftest import examples

Array = npt.NDArray[Any]


def components(x: Array, y: Array, dim3: range, *, raw: bool = True) -> Coded:
    """The first components of x as codes, and hits of all of it."""
    coded = Coded({k: [x[:, :k]] for k in dim3}, y, None)
    sample, hits = Sample.of(coded), np.full(len(y), -1, dtype=np.int8)
    hits[sample.rows] = 1 - sample.misses([x])[0]
    return coded._replace(raw=hits if raw else None)


def signs(draw: int, live: int, gap: float, columns: int = 20, rows: int = 1000) -> tuple[Array, Array]:
    """A class for each combination of signs of the first columns."""
    rng = np.random.default_rng(draw)
    bits = rng.integers(0, 2, (rows, live))
    x = rng.standard_normal((rows, columns))
    x[:, :live] += gap * (2 * bits - 1)
    return x, bits @ 2 ** np.arange(live)


def largest(draw: int, live: int, rows: int = 1000) -> tuple[Array, Array]:
    """The class is which of the first columns is the largest."""
    x = np.random.default_rng(draw).standard_normal((rows, 20))
    x[:, :live] *= 2
    return x, x[:, :live].argmax(axis=1)


def rare(draw: int, rows: int = 3000) -> tuple[Array, Array]:
    """A class of 1 % that differs in the tenth column alone."""
    x = np.random.default_rng(draw).standard_normal((rows, 20))
    y = (np.arange(rows) < rows // 100).astype(int)
    x[y == 1, 9] += 8
    return x, y


def probed(hits: Mapping[int, Array], raw: Array | None, classes: int = 2) -> Coded:
    """Codes of which just these rows, (S, N) by dim3, are hit: they lie with their class, the others with the next."""
    y = np.arange(next(iter(hits.values())).shape[1]) % classes
    noise = np.random.default_rng(0).random((len(y), 1)) / 100
    codes = {k: [np.where(row, y, (y + 1) % classes)[:, None] + noise for row in seeds] for k, seeds in hits.items()}
    return Coded(codes, y, None if raw is None else raw.astype(np.int8))


def missing(rows: int, *missed: slice) -> Array:
    """Hits but for some rows, one slice a training."""
    hits = np.ones((len(missed), rows), dtype=bool)
    for of_one, which in zip(hits, missed, strict=True):
        of_one[which] = False
    return hits


def test_labels_that_live_in_5_and_3_of_20_components() -> None:
    five = features("pca", components(*largest(0, 5), range(3, 16)), seeded=False)
    assert (five.choice, five.below, five.interval) == (5, 4, (5, 5))
    assert (five.seeds, five.rows, five.value) == (0, 1000, 0)
    assert five.sentence == (
        "pca keeps balanced accuracy within 2 points of its best codes with dim3 5 (4 is not enough; 95 % interval 5)"
    )
    assert features("pca", components(*signs(0, 3, 2.0), range(2, 11), raw=False)).choice == 3


def test_noise_columns_make_the_best_codes_the_reference() -> None:
    noisy = components(*signs(0, 3, 2.0, columns=403, rows=600), range(1, 8))
    assert noisy.raw is not None
    assert noisy.raw.mean() < 0.6
    assert features("pca", noisy, seeded=False).choice == 3


def test_a_class_of_one_percent() -> None:
    assert features("pca", components(*rare(0), range(8, 13)), seeded=False).choice == 10


class Loaded(Mapping[int, Any]):
    """Codes that note which dim3 are asked for."""

    def __init__(self, codes: Mapping[int, Any]) -> None:
        self.codes, self.asked = codes, set[int]()

    def __getitem__(self, dim3: int) -> Any:
        self.asked.add(dim3)
        return self.codes[dim3]

    def __iter__(self) -> Iterator[int]:
        return iter(self.codes)

    def __len__(self) -> int:
        return len(self.codes)


def test_against_raw_rows_downward_to_the_first_that_loses_more() -> None:
    full = missing(2000, slice(0, 0))
    rows = probed({1: ~full, 2: ~full, 4: missing(2000, slice(200)), 8: missing(2000, slice(20)), 16: full}, full[0])
    rows = rows._replace(codes=Loaded(rows.codes))
    found = features("pca", rows, seeded=False)
    assert (found.choice, found.below, found.interval, found.value) == (8, 4, (5, 8), pytest.approx(0.01))
    assert found.sentence == (
        "pca keeps balanced accuracy within 2 points of the raw rows with dim3 8 "
        "(4 is not enough, 5 to 7 not scanned; 95 % interval 5 to 8)"
    )
    assert isinstance(rows.codes, Loaded)
    assert rows.codes.asked == {4, 8, 16}


def test_trainings_and_test_rows() -> None:
    full = missing(2000, slice(0, 0))[0]
    three = {4: missing(2000, *[slice(600)] * 3), 8: missing(2000, slice(0), slice(4), slice(8))}
    test = probed({8: missing(400, slice(4), slice(8), slice(12))}, np.ones(400))
    found = features("ae", probed(three, full), test)
    assert (found.choice, found.seeds, found.value, found.interval) == (8, 3, pytest.approx(0.02), (5, 8))
    one = features("ae", probed({k: hits[:1] for k, hits in three.items()}, full))
    assert (one.choice, one.seeds, one.interval) == (8, 1, None)
    assert one.sentence.endswith("with dim3 8 (4 is not enough, 5 to 7 not scanned; this network)")


def test_a_loss_as_large_as_the_gain_over_a_guess_keeps_nothing() -> None:
    hits = missing(1000, slice(350))  # balanced accuracy .65
    found = features("ae", probed(dict.fromkeys((2, 4, 8), hits), hits[0]), amount=0.5)
    assert (
        found.sentence
        == "ae: neighbours classify 15 points better than a guess, at most twice the 50 points: nothing to keep"
    )
    assert f"ae: {found.missing}" == found.sentence


def test_codes_that_collapse_at_the_largest_dim3_leave_the_answer() -> None:
    full = missing(1000, slice(0, 0))
    rows = probed(dict.fromkeys((2, 4, 8), full), full[0])
    codes = {**rows.codes, 16: [np.zeros((1000, 16))]}
    assert features("vae", rows._replace(codes=codes)).choice == 2


def test_two_kinds_of_not_reached() -> None:
    full = missing(1000, slice(0, 0))
    lost = features("ae", probed({8: missing(1000, slice(200)), 32: missing(1000, slice(60))}, full[0]))
    assert (lost.choice, lost.below, lost.reached, lost.value) == (None, 32, False, pytest.approx(0.06))
    assert lost.sentence == "ae: not reached by dim3 32: its codes lose 6.0 points of balanced accuracy"
    raw = missing(300, slice(9))[0]  # 6 % discordant rows, 3 % each way
    few = features("ae", probed({32: missing(300, slice(9, 18))}, raw))
    assert (
        few.sentence
        == "ae: 300 rows can't show that the codes lose at most 2 points of balanced accuracy, about 1000 rows could"
    )


def test_best_codes_at_the_end_are_not_reached() -> None:
    rising = {k: missing(1000, slice(100 * (5 - k))) for k in range(1, 6)}
    found = features("ae", probed(rising, None))
    assert (found.choice, found.below) == (None, 5)
    assert found.sentence == "ae: not reached by dim3 5: its codes may still gain, extend the range"
    assert features("ae", probed(rising | {6: rising[5], 7: rising[4]}, None)).choice == 5


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (Coded({2: [np.ones((49, 2))]}, np.arange(49) % 2, None), "49 held-out rows with labels are too few"),
        (
            Coded({2: [np.ones((99, 2))]}, np.zeros(99, dtype=int), None),
            "1 of the classes of the 99 rows that choose have two rows or more",
        ),
        (Coded({2: [np.ones((99, 2))]}, np.arange(99) % 2, None), "its codes are constant"),
        (
            components(*signs(0, 1, 0.0, rows=400), range(1, 4)),
            " better than a guess, at most twice the 2 points",
        ),
    ],
    ids=["few rows", "one class", "constant", "chance"],
)
def test_one_sentence_where_there_is_nothing_to_probe(rows: Coded, said: str) -> None:
    found = features("ae", rows)
    assert (found.choice, found.reached) == (None, False)
    assert found.sentence.startswith("ae: ")
    assert said in found.sentence


FULL = missing(240, slice(0, 0))
SHORT = probed({1: ~FULL, 2: missing(240, slice(60)), 4: FULL, 6: FULL}, FULL[0])


@pytest.mark.property
@examples(0.5)
@given(order=st.permutations(range(240)), larger=st.lists(st.integers(7, 40), unique=True, max_size=3))
def test_order_and_larger_dim3_change_nothing(order: list[int], larger: list[int]) -> None:
    codes = {**SHORT.codes, **dict.fromkeys(larger, SHORT.codes[6])}
    assert SHORT.raw is not None
    other = Coded({k: [z[order] for z in seeds] for k, seeds in codes.items()}, SHORT.labels[order], SHORT.raw[order])
    found = features("ae", other, seeded=False)
    assert (found.choice, found.interval) == (4, (3, 4))  # those of SHORT


@pytest.mark.soak
@pytest.mark.parametrize(
    ("draw", "answer"),
    [
        (lambda i: largest(i, 5), 5),
        (lambda i: largest(i, 3), 3),
        (lambda i: signs(i, 5, 2.0), 5),
        (lambda i: signs(i, 3, 1.5), 3),
        (rare, 10),
        (lambda i: signs(i, 3, 2.0, columns=403), 3),
    ],
    ids=["largest of 5", "largest of 3", "signs of 5", "signs of 3", "rare", "noise columns"],
)
@pytest.mark.parametrize("raw", [True, False])
def test_right_answers_over_many_draws(draw: Any, answer: int, raw: bool) -> None:
    found = Counter(
        features("pca", components(*draw(i), range(2, 21), raw=raw), seeded=False).choice for i in range(40)
    )
    assert found[answer] >= 36, found
    assert sum(n for choice, n in found.items() if choice is not None and choice < answer) <= 2


@pytest.mark.soak
@pytest.mark.parametrize("rows", [150, 300, 1000])
def test_of_eight_dim3_that_lose_too_much_none_passes_by_luck(rows: int) -> None:
    """Eight dim3 lose 2.5 points, eleven larger ones none."""
    small = 0
    for draw in range(100):
        rng = np.random.default_rng(draw)
        raw = rng.random(rows) < 0.9
        hits = {}
        for k in range(2, 21):
            loss = 0.025 if k < 10 else 0.0
            changed = rng.random(rows)
            hits[k] = np.where(raw, changed >= (0.06 + loss) / 1.8, changed < (0.06 - loss) / 0.2)[None]
        choice = features("ae", probed(hits, raw), seeded=False).choice
        small += choice is not None and choice < 10
    assert small <= 5
