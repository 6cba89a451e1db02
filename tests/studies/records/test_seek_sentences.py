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
    ("cells", "said"),
    [
        ({2: 1, 4: 1, 8: 1}, "more than 8 (74.1 %); 3 cells, about 7 to 27 more, 40 s to 2:20 min"),
        ({2: 1, 16: 1, 32: 1}, "16 (87.1 %) to 32 (93.5 %); 3 cells, about 10 to 24 more, 50 s to 2:00 min"),
        ({2: 1, 19: 1, 20: 1, 21: 1}, "20 (89.6 %) to 21 (90.1 %); 4 cells, about 9 to 17 more, 50 s to 1:30 min"),
    ],
)
def test_the_state_of_a_search_says_where_it_is_and_what_is_left(cells: dict[int, int], said: str) -> None:
    assert state(*searched(cells), SEARCH, 10, 2) == f"ae keep:0.90: {said}"
    spent = searched(cells)[0]._replace(spent=40)
    assert state(spent, look(spent, SEARCH)[0], SEARCH, 10, 2).endswith("cells, the budget is spent")


def test_the_time_of_cells_side_by_side_is_that_of_the_clock() -> None:
    assert _covered([(0, 10), (2, 8), (9, 12), (20, 25)]) == 17
