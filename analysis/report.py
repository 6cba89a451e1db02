"""The answer from a tracking store, or from a table: `python -m analysis.report --experiment NAME --out DIR`.

With `--curve FILE.csv` it judges any table of errors against dim3, from any program, and needs no store. From Python:
`analysis.reporting.report`, and `judge_table` here, which takes no seconds to import. Exit codes: 0 done;
1 the store stopped answering; 2 bad input, one line on stderr; 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn, get_args

from elbowroom.tracking.store.errors import LONGEST, BadInput, Failed, one_line
from elbowroom.tracking.store.terminal import hide_in_output, printing
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .elbow import Verdict, judge
from .elbow.verdict import LEAST_POINTS
from .findings.sentences import sentence
from .purposes.gain import Rule
from .runs.csv_table import curve, read_rows
from .runs.scores import CurveIs, as_said, best_score, check_falls

UNSET = "default"
RULE = "gain:0.05"


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """One line, without the usage."""
        raise BadInput(f"{message}; --help lists what is allowed")


def parser() -> Parser:
    """Where the runs are, how to judge, and what to leave behind."""
    made = Parser(
        prog="python -m analysis.report",
        description="How many latent dimensions, and is an autoencoder worth it over PCA? Read from a tracking store.",
        allow_abbrev=False,
    )
    made.add_argument("--curve", default=UNSET, metavar="FILE.csv", help="judge this table: dim3,error[,seed][,model]")
    made.add_argument(
        "--curve-is",
        default="error",
        choices=get_args(CurveIs),
        help="what --curve or --map names; a score is better the higher it is: in 0 to 1, percent, or at most 0",
    )
    made.add_argument(
        "--rule",
        default=RULE,
        metavar="RULE",
        help=f"gain:SHARE or unexplained:SHARE, for the choice; default: {RULE}",
    )
    made.add_argument(
        "--choose", default=UNSET, metavar="dim3=12", help="register this cell instead; or model=vae,dim3=12"
    )
    made.add_argument(
        "--map",
        default=UNSET,
        metavar="A=B",
        help="read others' runs: dim3=params.k,error=metrics.loss,…; settings=params.lr parts what differs in it",
    )
    made.add_argument(
        "--out", default=UNSET, metavar="DIR", help="where to write; default: reports, nothing for --curve"
    )
    add_store(made)
    return made


def add_store(made: Parser) -> None:
    """The flags of which store to read, and whether to write into it."""
    made.add_argument(
        "--no-log", nargs="?", const="yes", default="no", metavar="no", help="write nothing into the store"
    )
    made.add_argument("--experiment", metavar="NAME", help="MLFLOW_EXPERIMENT_NAME, else elbowroom")
    made.add_argument("--tracking-uri", metavar="URI", help="MLFLOW_TRACKING_URI, else sqlite:///mlflow.db")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return command(lambda: _said(arguments))


def _said(arguments: list[str] | None) -> str:
    given = parser().parse_args(arguments)
    rule = checked_rule(given.rule)
    if given.curve != UNSET and given.out == UNSET:
        return "\n".join(judged.text for judged in judge_table(given.curve, rule=rule, curve_is=given.curve_is))
    # Not at the top: MLflow and matplotlib take seconds, and a table's verdict needs neither.
    return str(importlib.import_module("elbowroom.analysis.reporting.experiment").said(given))


def command(body: Callable[[], str]) -> int:
    """Print what the body of a command line returns, or its error as one line; the exit code."""
    return printing(lambda: _ended(body))


def _ended(body: Callable[[], str]) -> int:
    hide_in_output()
    try:
        say(body())
    except BadInput as error:
        say(f"error: {one_line(error, LONGEST)}", "stderr")
        return 2
    except Failed as error:
        say(f"error: {one_line(error, LONGEST)}", "stderr")
        return 1
    except KeyboardInterrupt:
        say("interrupted; nothing was written", "stderr")
        return 130
    return 0


def say(text: str, where: str = "stdout") -> None:
    """Print lines without what a terminal would obey."""
    for line in text.split("\n"):
        print(clean(line), file=getattr(sys, where))


def checked_rule(text: str) -> str:
    """A rule as `judge` takes it. Raises BadInput."""
    try:
        Rule.parse(text)
    except ValueError as error:
        raise BadInput(str(error)) from error
    return text


class Judged(NamedTuple):
    """One model's curve in a table: how many dim3 it has, and what it says; None where they are too few to say.

    note says how scores were read.
    """

    model: str
    points: int
    verdict: Verdict | None
    note: str = ""

    @property
    def text(self) -> str:
        """The verdict and the choice: a sentence and a reason."""
        name = clean(self.model, LABEL_LENGTH)
        if self.verdict is None:
            return f"{name}: {self.points} values of dim3 are no curve: it takes {LEAST_POINTS}"
        criteria = ", ".join(f"{name} {'-' if k is None else k}" for name, k in self.verdict.criteria.items())
        why = f"  why: {self.verdict.reason}" + (f"; {self.note}" if self.note else "")
        return f"{sentence(name, self.verdict)}\n{why}\n  others: {criteria}"


def judge_table(path: Path | str, *, rule: str = RULE, curve_is: CurveIs = "error") -> list[Judged]:
    """What the curve of each model in a file says, whose columns are dim3,error[,seed][,model].

    Raises BadInput, also where a curve rises that is said to be an error, or falls that is said to be a score.
    """
    rows, note = read_rows(Path(path), curve_is), ""
    if curve_is == "score":
        best = best_score([row.error for row in rows])
        rows, note = [row._replace(error=best - row.error) for row in rows], as_said(best)
    found = []
    for model in dict.fromkeys(row.model for row in rows):
        dim3, errors = curve(rows, model)
        check_falls(model, dim3, errors, curve_is)
        enough = len(dim3) >= LEAST_POINTS
        found.append(Judged(model, len(dim3), judge(dim3, errors, rule=checked_rule(rule)) if enough else None, note))
    return found


if __name__ == "__main__":
    sys.exit(main())
