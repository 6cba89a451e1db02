"""The sentences of a seek."""

from collections.abc import Mapping

import pytest

from benchmarks.simulated_seek import SEARCH, evidence
from elbowroom.studies.execution.next_cells import Known, View, look
from elbowroom.studies.records.seek_sentences import _covered, answer, state


def searched(cells: Mapping[int, int], largest: int = 784, most: int = 784) -> tuple[Known, View]:
    """A search of keep:0.90 with so many trainings of each dim3 without noise, which 21 latents meet."""
    errors = {k: dict.fromkeys(range(seeds), 2.07 / k) for k, seeds in cells.items()}
    one = Known(errors, evidence(errors, most), largest)
    return one, look(one, SEARCH)[0]


def test_the_answer_says_what_a_grid_would_have_cost_and_what_ends_the_search() -> None:
    around = dict.fromkeys((2, 4, 8, 16, 32), 1) | dict.fromkeys((19, 20, 21, 22), 3)
    assert answer(*searched(around), SEARCH, "17 cells, 6:10 min") == (
        "ae keeps 90 % of the variance with dim3 21 (20 is not enough; 95 % interval 21); 17 cells, 6:10 min; "
        "a grid of 2 to 32 with 3 seeds would have taken 93"
    )
    ended = answer(*searched({4: 1, 8: 1, 15: 1, 16: 3}, 16), SEARCH, "6 cells, 1:00 min")
    assert "which keeps 87.1 %: extend the range; here --max-dim3 is the limit; 6 cells" in ended
    assert "not reached by any dim3, the best keeps 87.1 %; 6" in answer(
        *searched({4: 1, 8: 1, 15: 1, 16: 3}, 16, 16), SEARCH, "6 cells, 1:00 min"
    )


@pytest.mark.parametrize(
    ("cells", "where", "left"),
    [
        (
            {2: 1, 4: 1, 8: 1},
            "dim3 8 (keeps 74.1 %) is too small, trying 16",
            "3 cells so far, about 7 to 27 more in 40 s",
        ),
        (
            {2: 1, 16: 1, 32: 1},
            "dim3 16 (keeps 87.1 %) is too small, 32 (keeps 93.5 %) is enough",
            "3 cells so far, about 10 to 24 more in 50 s",
        ),
        (
            {2: 1, 19: 1, 20: 1, 21: 1},
            "dim3 20 (keeps 89.6 %) is too small, 21 (keeps 90.1 %) is enough",
            "4 cells so far, about 9 to 17 more in 50 s",
        ),
    ],
)
def test_the_state_of_a_search_says_where_it_is_and_what_is_left(cells: dict[int, int], where: str, left: str) -> None:
    assert state(*searched(cells), SEARCH, 10, 2).startswith(f"ae keep:0.90: {where}; {left} to ")
    spent = searched(cells)[0]._replace(spent=40)
    assert state(spent, look(spent, SEARCH)[0], SEARCH, 10, 2).endswith("cells so far, the budget is spent")


def test_the_time_of_cells_side_by_side_is_that_of_the_clock() -> None:
    assert _covered([(0, 10), (2, 8), (9, 12), (20, 25)]) == 17
