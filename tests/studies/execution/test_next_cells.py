"""The search for the next cells: exact paths on curves without noise, and simulated seeks on curves with it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import product
from math import log
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.simulated_seek import FALLS, LEVEL, MOST, SEARCH, SHAPES, Found, drawn, evidence, noisy, seek
from elbowroom.analysis.purposes import Evidence, Rule, choose
from elbowroom.analysis.purposes.choice import Choice, Held, Missing
from elbowroom.analysis.purposes.keep import Errors, Fitted
from elbowroom.analysis.purposes.rank import Beside
from elbowroom.studies.execution.next_cells import Cell, Known, Phase, Search, look, next_cells, rising
from tests.analysis.purposes.test_features import components, largest
from tests.conftest import examples

Cells = Mapping[int, Sequence[int]]


def power(k: int) -> float:
    """A share left that keep:0.90 accepts from dim3 21 on."""
    return 2.07 / k


def path(found: Found) -> list[dict[int, int]]:
    """How many trainings of which dim3 each round has."""
    return [dict(Counter(cell.dim3 for cell in cells)) for cells in found.rounds]


def known(share: Mapping[int, float], most: int = MOST, spent: int = 0) -> Known:
    """A model with one training a dim3."""
    errors = {k: {0: v} for k, v in share.items()}
    return Known(errors, evidence(errors, most), most, True, spent)


CONFIRMED = {19: 3, 20: 2, 21: 2, 22: 3}


@pytest.mark.parametrize(
    ("workers", "located"),
    [
        (1, [{2: 1}, {4: 1}, {8: 1}, {16: 1}, {32: 1}, {21: 1}, {20: 1}]),
        (2, [{2: 1, 4: 1}, {8: 1, 16: 1}, {32: 1, 64: 1}, {21: 1, 19: 1}, {20: 1}]),
        (8, [{2: 1, 4: 1, 8: 1, 16: 1}, {32: 1, 64: 1, 128: 1, 256: 1}, {21: 1, 19: 1, 23: 1, 17: 1}, {20: 1}]),
    ],
)
def test_a_ladder_a_bracket_and_seeds_about_the_answer(workers: int, located: list[dict[int, int]]) -> None:
    found = seek(power, workers=workers)
    assert path(found)[:-1] == located
    before = Counter(k for cells in located for k in cells)
    assert path(found)[-1] == {k: 3 - before[k] for k in CONFIRMED}
    assert found.view.choice is not None
    assert (found.view.phase, found.view.choice.choice, found.view.choice.interval) == (Phase.DONE, 21, (21, 21))


def test_a_model_whose_whole_curve_is_known_trains_one_cell_and_the_neighbours() -> None:
    whole = np.array([[1.0, 0.0], *([power(k), 0.0] for k in range(1, 41))])

    def one(dim3: Sequence[int]) -> Known:
        held = {k: Held(np.full(10, power(k)), np.array([power(k)])) for k in dim3}
        found = Errors(held, np.ones(10), whole)
        model = SimpleNamespace(label="pca", seeded=False, fitted=Fitted("pca", found, found, False, 40))
        return Known({k: [0] for k in dim3}, cast(Evidence, model) if dim3 else None, 40, False, len(dim3))

    assert next_cells({"pca": one([])}, SEARCH, 1) == [Cell("pca", 2, 0)]
    around = next_cells({"pca": one([2])}, SEARCH, 8)
    assert around == [Cell("pca", k, 0) for k in (19, 20, 21, 22)]
    assert next_cells({"pca": one([2, 19, 20, 21, 22])}, SEARCH, 8) == []


def test_a_model_without_seeds_is_trained_last_at_the_answers_of_the_others() -> None:
    settled = known({20: power(20), 21: power(21)})
    settled = settled._replace(cells={k: [0, 1, 2] for k in (19, 20, 21, 22)})
    plain = known({2: 0.01, 1: 0.5})._replace(seeded=False)
    assert next_cells({"pca": plain, "ae": settled}, SEARCH, 2) == [Cell("pca", 3, 0)]
    plain = plain._replace(cells={1: [0], 2: [0], 3: [0]})
    assert next_cells({"pca": plain, "ae": settled}, SEARCH, 2) == [Cell("pca", 21, 0)]
    assert next_cells({"pca": plain._replace(most=20), "ae": settled}, SEARCH, 2) == []


@pytest.mark.parametrize(("seeded", "interval"), [(True, (18, 27)), (False, (17, 27))])
def test_an_interval_that_ends_in_a_gap_gets_cells_there(seeded: bool, interval: tuple[int, int]) -> None:
    found = seek(power, rows=0.1, seeded=seeded)
    assert found.view.choice is not None
    assert (found.view.phase, found.view.choice.choice, found.view.choice.interval) == (Phase.DONE, 21, interval)
    assert [cell.dim3 for cells in found.rounds[-3:] for cell in cells] == [17, 27, 24]  # before: [17, 32]
    every = evidence({k: {0: power(k)} for k in range(1, 60)}, rows=0.1, seeded=False)
    assert every is not None
    assert choose(SEARCH.rules[0], every).interval == (17, 25)


def test_an_interval_that_is_open_above_extends_the_range() -> None:
    level = {k: {s: power(k) * (1 + 0.004 * (s - 1)) for s in range(3)} for k in (18, 19, 20, 21)}
    assert seek(lambda k: power(k) * (1 + 0.004 * (k % 3 - 1)), scanned=level, rows=0.02).rounds[0] == [
        Cell("ae", 22, s) for s in range(3)
    ]
    found = seek(power, scanned=level | {22: level[21]}, rows=0.02)
    assert found.rounds[0] == [Cell("ae", 33, 0)]


@pytest.mark.parametrize(
    ("scanned", "rounds"),
    [
        ({k: {0: power(k)} for k in range(2, 41)}, [{19: 2, 20: 2, 21: 2, 22: 2}]),
        ({k: {7: power(k)} for k in (16, 20, 21, 32)}, [{19: 3, 20: 2, 21: 2, 22: 3}]),
        ({50: {0: power(50)}}, [{7: 1}, {21: 1}, {20: 1}, CONFIRMED]),
        ({k: dict.fromkeys(range(100), power(k)) for k in (20, 21)}, [{19: 3, 22: 3}]),
    ],
)
def test_cells_that_are_there_count(scanned: dict[int, dict[int, float]], rounds: list[dict[int, int]]) -> None:
    found = seek(power, scanned=scanned)
    assert path(found) == rounds
    assert not {(k, seed) for k in scanned for seed in scanned[k]} & {c[1:] for cells in found.rounds for c in cells}


@pytest.mark.parametrize("most", [1, 2, 3, 5, 20])
def test_no_dim3_beyond_the_largest_and_no_answer_there(most: int) -> None:
    found = seek(power, most=most, workers=8)
    assert max(cell.dim3 for cells in found.rounds for cell in cells) == most
    assert found.view.phase is Phase.DONE
    assert found.view.choice is not None
    assert "not reached by any dim3" in found.view.choice.sentence
    assert sum(cells.get(most, 0) for cells in path(found)) == 3  # one seed alone decides nothing


def test_no_dim3_beyond_the_largest_where_larger_ones_were_scanned() -> None:
    found = seek(power, most=15, scanned={50: {0: power(50)}})
    assert max(cell.dim3 for cells in found.rounds for cell in cells) == 15


def test_the_budget_ends_the_search() -> None:
    assert seek(power, SEARCH._replace(max_cells=9), workers=8).cells == 9
    assert seek(power, SEARCH._replace(max_cells=0)).cells == 0


def test_rules_share_cells() -> None:
    rules = [Rule.parse(f"keep:{share}") for share in (0.8, 0.9, 0.95)]
    together = seek(power, SEARCH._replace(rules=rules, max_cells=60))
    assert [v.choice.choice for v in together.views if v.choice] == [11, 21, 42]
    trained = [c for cells in together.rounds for c in cells]
    assert len(set(trained)) == len(trained) == 42
    assert sum(seek(power, SEARCH._replace(rules=[rule])).cells for rule in rules) == 51
    assert seek(power, SEARCH._replace(rules=rules + rules, max_cells=60)).rounds == together.rounds


def test_models_share_the_workers_and_have_their_own_budgets() -> None:
    new, half, spent = Known({}, None, 784), known({2: power(2), 4: power(4)}), known({2: power(2)}, spent=40)
    assert next_cells({"ae": new, "vae": half}, SEARCH, 2) == [Cell("ae", 2, 0), Cell("vae", 8, 0)]
    four = next_cells({"ae": new, "vae": half}, SEARCH, 8)
    assert [(c.model, c.dim3) for c in four] == [*product(["ae"], (2, 4, 8, 16)), *product(["vae"], (8, 16, 32, 64))]
    assert next_cells({"vae": spent}, SEARCH, 2) == []


def test_the_order_of_the_cells_changes_nothing_and_nothing_is_changed() -> None:
    share = {k: power(k) for k in (2, 4, 8, 16, 32)}
    one, turned = known(share), known(dict(reversed(share.items())))
    first = next_cells({"ae": one}, SEARCH, 2)
    assert first == next_cells({"ae": one}, SEARCH, 2) == next_cells({"ae": turned}, SEARCH, 2)
    assert one.cells == {k: {0: v} for k, v in share.items()}


@pytest.mark.parametrize("above", [1.0001, 1.5, 9.0])
@pytest.mark.parametrize("below", [0.9999, 0.5, 0.01])
@pytest.mark.parametrize(("low", "high"), [(1, 3), (2, 4), (16, 32), (3, 784)])
def test_a_bracket_shrinks_wherever_the_fit_meets_the_rule(low: int, high: int, above: float, below: float) -> None:
    (cell,) = next_cells({"ae": known({low: 0.1 * above, high: 0.1 * below})}, SEARCH, 1)
    wider = max(cell.dim3 - low, high - cell.dim3)
    assert low < cell.dim3 < high
    assert wider <= max(7 / 8 * (high - low) + 1, 1)


def test_an_error_that_rises_gets_one_more_seed_and_ends_the_ladder() -> None:
    found = seek(lambda k: 0.13 * k**0.3)
    assert path(found) == [{2: 1}, {4: 1}, {4: 1, 2: 1}, {8: 1}, {8: 1}, {3: 1}, {3: 1}, {2: 1}]
    assert found.view.choice is not None
    assert "not reached" in found.view.choice.sentence
    assert rising(known({2: 0.13, 4: 0.14, 8: 0.12, 16: 0.2})) == [4, 16]


def test_the_gaps_beside_a_least_far_above_the_rule_are_not_searched() -> None:
    found = seek(lambda k: 0.13 * (1 + 0.06 * log(k / 32) ** 2), workers=2)
    rungs = [{2: 1, 4: 1}, {8: 1, 16: 1}, {32: 1, 64: 1}, {128: 1, 256: 1}]
    assert path(found) == [*rungs, {128: 1, 256: 1, 32: 1}, {32: 1}]


def test_less_error_between_the_rungs_of_a_valley_is_found() -> None:
    found = seek(lambda k: float(np.exp(LEVEL - 0.04 + log(k / 22.6) ** 2)))  # below the rule from 19 to 27
    assert found.view.choice is not None
    assert found.view.choice.choice == 19


def test_one_noisy_seed_is_not_shown_to_rise() -> None:
    level = noisy(np.where(np.arange(1, MOST + 1) < 64, LEVEL + 1.9, LEVEL - 0.2), 0.03, np.random.default_rng(0))
    found = seek(level)
    assert found.view.choice is not None
    assert found.view.choice.choice == 64


@pytest.mark.property
@examples(2)
@given(
    st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 9), st.sampled_from([0.0, 0.01, 0.3]), st.integers(0, 45)
)
def test_every_seek_ends_within_its_budget_and_trains_no_cell_twice(
    draw: int, most: int, workers: int, sd: float, budget: int
) -> None:
    rng = np.random.default_rng(draw)
    seeded, rows = bool(draw % 3), (0.0, 0.03)[draw % 2]
    curve = LEVEL + rng.choice([-1.0, 0.0, 0.1, 1.0], 100).cumsum() * rng.choice([-0.1, 0.0, 0.02, 1.0]) + rng.normal()
    train = noisy(curve, sd, rng, rows)
    scanned = {int(k): {int(seed): train(int(k))} for k, seed in rng.integers(1, 100, (rng.integers(0, 4), 2))}
    found = seek(
        train, SEARCH._replace(max_cells=budget), workers=workers, most=most, rows=rows, seeded=seeded, scanned=scanned
    )
    cells = [(cell.dim3, cell.seed) for cells in found.rounds for cell in cells]
    assert len(cells) <= budget
    assert len({*cells, *((k, seed) for k in scanned for seed in scanned[k])}) == len(cells) + len(scanned)
    assert all(1 <= k <= most for k, _ in cells)
    assert found.view.phase is Phase.DONE or len(cells) == budget


# The other purposes.

NORMAL = np.random.default_rng(0).standard_normal(1000)
ROWS = 1 + 0.1 * np.random.default_rng(0).standard_normal((4, 400))
X, Y = largest(0, 5)


def _elbo(cells: Cells) -> dict[str, object]:
    """-ELBO that falls by 0.8 nat a dim3 to 17 and is flat on; 1,000 rows."""
    held = {}
    for k, seeds in sorted(cells.items()):
        draws = [np.random.default_rng((k, seed)).standard_normal(1001) for seed in seeds]
        rows = np.array([10 * NORMAL + 103 + 0.8 * max(17 - k, 0) + 0.05 * d[0] + d[1:] for d in draws])
        held[k] = Held(rows.mean(axis=0), rows.mean(axis=1))
    return {"elbo": lambda: (held, None, None)}


def _hidden_entries(cells: Cells) -> dict[str, object]:
    """Errors of hidden entries with their least at 13."""
    errors = {k: np.stack([ROWS * (1.5 - min(k, 13) / 26 + 0.02 * max(k - 13, 0))] * len(cells[k])) for k in cells}
    return {"hidden_entries": lambda: (errors, 2 * ROWS, Beside())}


def _probe(cells: Cells) -> dict[str, object]:
    """Codes whose first five columns tell the classes."""
    coded = components(X, Y, sorted(cells))
    return {"probe": lambda: (coded._replace(codes={k: coded.codes[k] * len(cells[k]) for k in cells}), None)}


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.parametrize(
    ("rule", "given", "most", "answer"),
    [
        ("generate:0.5", _elbo, 64, 17),
        ("generate:0.5", _elbo, 18, None),
        ("rank", _hidden_entries, 40, 13),
        ("features:0.02", _probe, 20, 5),
    ],
)
def test_a_least_is_followed_by_two_larger_dim3_and_is_the_answer_of_the_full_grid(
    rule: str, given: object, most: int, answer: int | None, workers: int
) -> None:
    def fake(cells: Cells) -> Evidence:
        errors = evidence({k: {0: 1 / k} for k in cells}, most)
        assert errors is not None
        return cast(Evidence, SimpleNamespace(label="vae", seeded=True, fitted=errors.fitted, **given(cells)))  # type: ignore[operator]

    cells: dict[int, list[int]] = {}
    search = Search([Rule.parse(rule)])
    while True:
        one = Known(cells, fake(cells) if cells else None, most, True, sum(map(len, cells.values())))
        if not (new := next_cells({"vae": one}, search, workers)):
            break
        for cell in new:
            cells.setdefault(cell.dim3, []).append(cell.seed)
    full: Choice = choose(search.rules[0], fake({k: [0] for k in range(1, most + 1)}))
    (view,) = look(one, search)
    assert view.choice is not None
    assert view.choice.choice == full.choice == answer
    assert sum(map(len, cells.values())) <= 25
    if answer is not None:
        assert sum(k > answer for k in cells) >= 2
        assert all(len(cells[k]) == 3 for k in (answer - 1, answer))


def test_a_model_that_a_rule_is_not_for_is_not_trained() -> None:
    rules = Search([Rule.parse("generate")])
    assert next_cells({"ae": Known({}, None, 784, elbo=False)}, rules, 2) == []
    assert next_cells({"vae": Known({}, None, 784, elbo=True)}, rules, 1) == [Cell("vae", 2, 0)]


def test_rank_is_sought_where_hidden_entries_are_predicted() -> None:
    def asked(dim3: Sequence[int], largest: int) -> tuple[Phase, list[int]]:
        cells = {k: [0] for k in dim3}
        errors = evidence({k: {0: 1 / k} for k in cells})
        assert errors is not None
        measured = _hidden_entries({k: [0] for k in dim3 if k <= largest} or {0: [0]})
        if largest < 2:
            measured = {"hidden_entries": _missing}
        model = SimpleNamespace(label="ae", seeded=True, fitted=errors.fitted, **measured)
        (view,) = look(Known(cells, cast(Evidence, model), 784), Search([Rule.parse("rank")]))
        return view.phase, [k for k, _ in view.wanted]

    assert asked([2, 4, 8, 16, 32, 64], 784) == (Phase.NARROW, [11, 12, 10, 13, 9, 14, 15])
    assert asked([2, 4, 8], 784) == (Phase.CLIMB, [16, 32, 64, 128])
    assert asked([2, 4, 8, 16], 8) == (Phase.DONE, [])
    assert asked([2], 0) == (Phase.DONE, [])


def _missing() -> None:
    raise Missing("rank needs 10 columns")


def test_no_errors_are_no_rise() -> None:
    class Bare:
        label, seeded = "ae", True

        @property
        def fitted(self) -> Fitted:
            raise Missing("no errors")

    one = Known({2: [0]}, cast(Evidence, Bare()), 784)
    assert rising(one) == []
    assert [c.dim3 for c in next_cells({"ae": one}, SEARCH, 1)] == [4]


# Simulated seeks.


class Tally:
    """The coverage, hits and cells of simulated seeks, by some key."""

    def __init__(self) -> None:
        self.covered: dict[object, list[bool]] = {}
        self.near: dict[object, list[bool]] = {}
        self.cells: dict[object, list[int]] = {}
        self.lost: list[object] = []

    def add(self, key: object, curve: np.ndarray, sd: float, found: Found) -> None:
        """Count one seek. A curve that hardly falls about its answer is left out: any dim3 there is as right."""
        below = curve <= LEVEL
        answer = int(below.argmax()) + 1 if below.any() else None
        choice = found.view.choice
        assert choice is not None
        assert found.cells <= SEARCH.max_cells
        self.cells.setdefault(key, []).append(found.cells)
        if answer is None or choice.choice is None:
            done = found.view.phase is Phase.DONE
            if done and answer is not None and LEVEL - curve[-1] > 2 * sd:
                self.lost.append((key, answer, choice.sentence))
            self.covered.setdefault(key, []).append(answer is None and choice.choice is None)
            return
        low, high = choice.interval or (None, None)
        if curve[max(int(0.7 * answer), 1) - 1] - curve[int(1.4 * answer) - 1] >= sd:
            self.covered.setdefault(key, []).append((low or 1) <= answer <= (high or MOST))
        if found.view.phase is Phase.DONE and curve[max(answer - 2, 0)] - curve[answer] >= 2 * sd:
            self.near.setdefault(key, []).append(abs(choice.choice - answer) <= 1)


def at_least(share: float, hits: Sequence[bool]) -> bool:
    """Whether hits are not shown to be less than a share, by two binomial standard errors."""
    return np.mean(hits) >= share - 2 * np.sqrt(share * (1 - share) / len(hits))


def test_forty_simulated_seeks() -> None:
    tally = Tally()
    for draw, kind in enumerate([*FALLS, *SHAPES] * 4):
        rng = np.random.default_rng(draw)
        sd, answer, workers = (0.005, 0.01, 0.03)[draw % 3], (5, 20, 88, 150)[draw // 10], (1, 8)[draw % 2]
        curve = drawn(kind, answer, rng)
        tally.add("all", curve, sd, seek(noisy(curve, sd, rng), workers=workers))
    assert tally.lost == []
    assert np.mean(tally.covered["all"]) >= 0.93
    assert np.mean(tally.near["all"]) >= 0.95
    assert np.median(tally.cells["all"]) <= 25


@pytest.mark.soak
@pytest.mark.parametrize("kind", [*FALLS, *SHAPES])
@pytest.mark.parametrize(("workers", "rows"), [(1, 0.0), (8, 0.0), (2, 0.003)])
def test_the_interval_covers_and_the_answer_is_near(kind: str, workers: int, rows: float) -> None:
    tally = Tally()
    for answer, sd, draw in product((3, 5, 10, 20, 40, 88, 150, 200), (0.005, 0.01, 0.03), range(9)):
        rng = np.random.default_rng([answer, round(1000 * sd), draw, workers])
        curve = drawn(kind, answer, rng)
        found = seek(noisy(curve, sd, rng, rows), workers=workers, rows=rows)
        tally.add(answer, curve, sd, found)
    assert tally.lost == []
    assert all(at_least(0.93, covered) for covered in tally.covered.values()), tally.covered
    assert np.mean([hit for covered in tally.covered.values() for hit in covered]) >= 0.93
    assert np.mean([hit for near in tally.near.values() for hit in near] or [True]) >= 0.95
    for answer in (10, 20, 40, 88, 150, 200):
        assert np.median(tally.cells[answer]) <= 2 * answer - 1
