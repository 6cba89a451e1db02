"""The state of a study as a table: at several widths, with hostile names, and kept on a terminal."""

import io
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from elbowroom.studies.execution import board
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
STATE = StudyState("scan-digits", CELLS, len(CELLS), (Answer("ae", 3, "ae keeps 90 % of the variance with dim3 3"),))
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
        "scan-digits: error by model and dim3, mean over 2 seeds or (n) of them",
        "dim3    2          3     4       5  6",
        "pca   0.5      0.333  0.25",
        "ae    0.3  0.125 (1)  7/20  failed  ·",
        "",
        "worker 4711: ae dim3 4 seed 0, epoch 7/20, 12 s",
        "━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━",
        "6 of 12 cells done, 1 running, 1 failed, about 11 s left",
        "",
        "ae keeps 90 % of the variance with dim3 3",
    ]


@pytest.mark.parametrize(("width", "columns"), [(60, 7), (80, 10), (120, 15)])
def test_as_many_dim3_are_shown_as_fit_those_near_the_answer_first(width: int, columns: int) -> None:
    lines = shown(replace(LARGE, answers=(Answer("ae", 22, "22"),)), width)
    columns_shown = [int(word) for word in lines[1].split()[1:]]
    assert len(columns_shown) == columns
    assert columns_shown[0] <= 22 - (columns - 1) // 2 <= 22 + (columns - 1) // 2 <= columns_shown[-1]
    assert lines[4].startswith(f"{columns} of 40 dim3; not shown: 2 to ")
    assert [int(word) for word in shown(LARGE, width)[1].split()[1:]][-1] == 41  # without an answer the newest
    running = replace(LARGE, cells=(*LARGE.cells, replace(RUNNING, place=Place("vae", 2))))
    assert "2" in shown(running, width)[1].split()


def test_trials_are_the_last_and_the_best() -> None:
    trials = tuple(
        CellState(Place(trial=n), Stage.DONE, value=abs(n - 2) + 0.5, settings=(("lr", f"0.{n}"),)) for n in range(30)
    )
    lines = shown(StudyState("t", trials, 40, (), "validation error"), 60)
    assert [line.split() for line in lines[1:4]] == [
        ["trial", "objective", "lr"],
        ["2", "0.5", "0.2"],
        ["20", "18.5", "0.20"],
    ]
    assert "best so far: trial 2, 0.5" in lines
    assert lines[-1] == "30 of 40 trials done"


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
    assert [line.split()[0] for line in shown(StudyState("s", cells, 3), 80)[2:5]] == ["one:Net", "two:Net", "Other"]


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


def test_what_is_printed_meanwhile_stands_above_the_table_and_the_store_may_fail(monkeypatch: Patch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(board, "READ_SECONDS", 0.0)
    stderr = Terminal()
    monkeypatch.setattr(sys, "stderr", stderr)
    asked = SimpleNamespace(times=0)

    def fail() -> None:
        asked.times += 1
        if asked.times == 3:
            display.ended.set()
        raise OSError("the store is down")

    display = Display(lambda: STATE, fail)
    display.start()
    print("[red]a line[/red]", file=sys.stderr)
    display.thread.join(30)
    display.stop(erase=False)
    text = stderr.getvalue()
    assert asked.times == 3
    assert "[red]a line[/red]\n" in text
    assert text.index("a line") < text.rindex("scan-digits: error")
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor
    assert sys.stderr is stderr
