"""The state of a study as a table: at several widths, with hostile names, and kept on a terminal."""

import io
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rich.console import Console

from elbowroom.studies.execution.board import Board, Display, on_terminal
from elbowroom.studies.execution.state import Answer, CellState, Place, Stage, StudyState
from tests.hostile import ALL, NAMES, check_lines
from tests.studies.harness import Patch


def done(model: str, dim3: int, seed: int, value: float) -> CellState:
    return CellState(Place(model, dim3, seed), Stage.DONE, value=value, ended=float(dim3))


RUNNING = CellState(Place("ae", 4), Stage.RUNNING, epoch=7, epochs=20, worker="host 4711 1.00", began=100.0)
CELLS = (
    *(done("pca", k, 0, 1 / k) for k in (2, 3, 4)),
    *(done("ae", 2, seed, value) for seed, value in ((0, 0.25), (1, 0.35))),
    done("ae", 3, 0, 0.125),
    CellState(Place("ae", 3, 1), Stage.WAITING),
    RUNNING,
    CellState(Place("ae", 4, 1)),
    CellState(Place("ae", 5, 0), Stage.FAILED),
    CellState(Place("ae", 5, 1)),
    CellState(Place("ae", 6, 0)),
)
STATE = StudyState(
    "scan-digits",
    CELLS,
    len(CELLS),
    (Answer("ae", 3, "ae keeps 90 % of the variance with dim3 3"),),
    "validation error",
)
LARGE = StudyState("s", tuple(done(m, k, 0, 1 / k) for m in ("pca", "ae") for k in range(2, 42)), 80)


def shown(state: StudyState, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=40, color_system=None)
    with console.capture() as captured:
        console.print(Board(state, 112.0))
    lines = [line.rstrip() for line in captured.get().splitlines()]
    assert max(map(len, lines)) <= width
    return lines


def test_a_place_has_its_error_its_epoch_or_its_failure() -> None:
    assert shown(STATE, 80) == [
        "scan-digits: 6 of 12 cells done, 1 running, 1 failed, about 11 s left",
        "",
        "validation error, mean over seeds",
        "dim3         2         3         4         5         6",
        "pca      0.500     0.333     0.250",
        "ae       0.300    0.125*      7/20    failed         ·",
        "* mean of the seeds that have finished so far",
        "",
        "ae keeps 90 % of the variance with dim3 3",
        "",
        "worker 4711: ae dim3 4 seed 0, epoch 7/20, 12 s",
    ]


def test_a_study_that_is_stopped_has_no_running_cell_and_says_why() -> None:
    lines = shown(STATE.stopped("interrupted"), 80)
    assert lines[:2] == ["scan-digits: 6 of 12 cells done, 1 failed", "interrupted"]
    assert lines[6] == "ae       0.300    0.125*         ·    failed         ·"
    assert lines[-1] == "ae keeps 90 % of the variance with dim3 3"


def test_a_seek_before_its_first_round_has_no_cells() -> None:
    assert shown(StudyState("s", ()), 80) == ["s: 0 cells done", "", "error", "dim3"]


def test_a_cell_after_its_last_epoch_and_a_study_after_its_last_cell_save() -> None:
    lines = shown(replace(STATE, cells=(replace(RUNNING, epoch=20),), answers=()), 80)
    assert lines[4:] == ["ae     saving", "", "worker 4711: ae dim3 4 seed 0, saving, 12 s"]
    assert shown(replace(LARGE, total=80), 80)[0] == "s: 80 of 80 cells done, saving the answer"


def dim3_shown(state: StudyState, width: int) -> list[int]:
    return [int(word) for word in shown(state, width)[3].split()[1:]]


@pytest.mark.parametrize(("width", "columns"), [(60, 6), (80, 8), (120, 12)])
def test_as_many_dim3_are_shown_as_fit_those_near_the_answer_first(width: int, columns: int) -> None:
    answered = replace(LARGE, answers=(Answer("ae", 22, "22"),))
    found = dim3_shown(answered, width)
    assert len(found) == columns
    assert found[0] <= 22 - (columns - 1) // 2 <= 22 + (columns - 1) // 2 <= found[-1]
    assert shown(answered, width)[6].startswith(f"{columns} of 40 dim3; not shown: 2 to ")
    assert dim3_shown(LARGE, width)[-1] == 41  # without an answer the newest
    running = replace(LARGE, cells=(*LARGE.cells, replace(RUNNING, place=Place("vae", 2))))
    assert 2 in dim3_shown(running, width)


def test_values_are_shown_before_empty_columns_near_an_answer() -> None:
    empty = tuple(CellState(Place("pca", k)) for k in range(42, 60))
    state = replace(LARGE, cells=(*LARGE.cells, *empty), answers=(Answer("ae", 59, "59"),))
    assert dim3_shown(state, 80) == list(range(34, 42))


def test_trials_are_the_last_and_the_best() -> None:
    trials = tuple(
        CellState(Place(trial=n), Stage.DONE, value=abs(n - 2) + 0.5, settings=(("lr", f"0.{n}"),)) for n in range(30)
    )
    lines = shown(StudyState("t", trials, 40, (), "validation error", tuned=True), 60)
    assert lines[:6] == [
        "t: 30 of 40 trials done",
        "",
        "best so far: trial 2, 0.5",
        "validation error",
        "trial  objective    lr",
        "    2        0.5   0.2",
    ]
    assert [int(line.split()[0]) for line in lines[6:]] == list(range(20, 30))
    wide = tuple(replace(trial, settings=tuple((name * 9, "0.5") for name in "abcdef")) for trial in trials)
    assert shown(StudyState("t", wide, 40, tuned=True), 40)[4].startswith("trial  objective  ")
    of_dim3 = tuple(replace(trial, settings=(("dim3", "2"),)) for trial in trials)
    assert shown(StudyState("t", of_dim3, 40, tuned=True), 60)[2] == "smallest error so far: trial 2, 0.5"


@pytest.mark.parametrize("name", [*NAMES.values(), ALL, "[bold]x[/bold] [link=http://evil.example]y[/link]"])
def test_names_are_plain_text(name: str) -> None:
    name = name.encode(errors="replace").decode()
    cells = (done(name, 2, 0, 0.5), replace(RUNNING, place=Place(name, 3), worker=name))
    lines = shown(StudyState(name, cells, 2, (Answer(name, 2, name[:300]),)), 60)
    check_lines("\n".join(lines))
    assert any("0.5" in line and "7/20" in line for line in lines)
    if name.startswith("[bold]"):
        assert "[bold]x[/bold] [link=http" in "\n".join(lines)


def test_two_models_of_one_name_keep_their_modules() -> None:
    cells = tuple(done(model, 2, 0, 0.5) for model in ("one:Net", "two:Net", "one:Other"))
    assert [line.split()[0] for line in shown(StudyState("s", cells, 3), 80)[4:7]] == ["one:Net", "two:Net", "Other"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({"TERM": "xterm"}, True), ({"TERM": "dumb"}, False), ({"TERM": "xterm", "CI": "true"}, False)],
)
def test_a_table_needs_a_terminal_that_moves_its_cursor(
    variables: dict[str, str], expected: bool, monkeypatch: Patch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert on_terminal(Terminal()) is expected
    assert not on_terminal(io.StringIO())


def test_what_is_printed_meanwhile_stands_above_the_table_which_stays_after_an_interrupt(monkeypatch: Patch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)

    def states(_: object) -> Iterator[StudyState]:
        yield STATE
        raise OSError("the store is down")

    display = Display(states)
    display.start()
    print("[red]a line[/red]", file=sys.stderr)
    display.thread.join(30)
    display.stop("interrupted")
    text = stderr.getvalue()
    assert "[red]a line[/red]\n" in text
    assert text.index("a line") < text.rindex("scan-digits: ") < text.rindex("interrupted")
    assert "1 running" not in text[text.rindex("scan-digits: ") :]
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor
    assert sys.stderr is stderr
