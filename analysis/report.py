"""The answer from a tracking store, or from a table: `python -m analysis.report --experiment NAME --out DIR`.

With `--curve FILE.csv` it judges any table of errors against dim3, from any program, and needs no store. From Python:
`analysis.reporting.report`, and `judge_table` here, which takes no seconds to import. Exit codes: 0 done;
1 the store stopped answering; 2 bad input, one line on stderr; 130 interrupted.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import NamedTuple, get_args

from elbowroom.tracking.cli import UNSET, Parser, command
from elbowroom.tracking.store.terminal import say
from elbowroom.tracking.store.text import LABEL_LENGTH, clean

from .elbow import LEAST_POINTS, Verdict, judge
from .purposes.gain import DEFAULT_RULE, Rule
from .runs.comparison import assemble
from .runs.csv_table import CurveIs, check_falls, read_rows


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser(
        "analysis.report",
        "How many latent dimensions, and is an autoencoder worth it over PCA? Read from a tracking store.",
    )
    made.add_argument("--curve", default=UNSET, metavar="FILE.csv", help="judge this table: dim3,error[,seed][,model]")
    made.add_argument(
        "--curve-is",
        default="error",
        choices=get_args(CurveIs),
        help="error: lower is better; score: higher is better, in 0 to 1, 0 to 100, or at most 0",
    )
    made.add_argument(
        "--rule",
        default=DEFAULT_RULE,
        metavar="RULE",
        help="the rule that chooses dim3: gain:SHARE or unexplained:SHARE",
    )
    made.add_argument(
        "--choose",
        default=UNSET,
        metavar="dim3=12",
        help="register this cell in place of the chosen one: dim3=12, or model=vae,dim3=12",
    )
    made.add_argument(
        "--map",
        default=UNSET,
        metavar="A=B",
        help="read the runs of another program: dim3=params.k,error=metrics.loss,…; "
        "settings=params.lr: a curve for each value",
    )
    where = "where to write; default: reports; with --curve no files"
    made.add_argument("--out", default=UNSET, metavar="DIR", help=where)
    made.add_store(read=True)
    return made


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    return command(lambda: _report(arguments), killed="nothing was written")


def _report(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    Rule.parse(given.rule)
    if given.curve != UNSET and given.out == UNSET:
        text = "\n".join(judged.text for judged in judge_table(given.curve, rule=given.rule, curve_is=given.curve_is))
    else:
        # Not at the top: MLflow and matplotlib take seconds, and a table's verdict needs neither.
        text = str(importlib.import_module("elbowroom.analysis.reporting.experiment").run_command(given))
    say(text)
    return 0


class Judged(NamedTuple):
    """The verdict on one model's curve in a table, None where it has too few points; note says how scores were read."""

    model: str
    points: int
    verdict: Verdict | None
    note: str = ""

    @property
    def text(self) -> str:
        """The verdict, its reason, and the answers of other criteria, on three lines."""
        name = clean(self.model, LABEL_LENGTH)
        if self.verdict is None:
            return f"{name}: {self.points} values of dim3 are no curve: it takes {LEAST_POINTS}"
        criteria = ", ".join(f"{name} {'-' if k is None else k}" for name, k in self.verdict.criteria.items())
        why = f"  why: {self.verdict.reason}" + (f"; {self.note}" if self.note else "")
        return f"{self.verdict.sentence(name)}\n{why}\n  others: {criteria}"


def judge_table(path: Path | str, *, rule: str = DEFAULT_RULE, curve_is: CurveIs = "error") -> list[Judged]:
    """Judge the curve of each model in a CSV file.

    Parameters
    ----------
    path
        A file with the columns dim3,error[,seed][,model].
    rule
        For the choice of dim3, as `judge` takes it.
    curve_is
        Whether the column error has errors or scores.

    Returns
    -------
    list of Judged
        One for each model, in the order of the file.

    Raises
    ------
    BadInput
        Where the file can't be read, an error curve rises, or a score curve falls.
    """
    Rule.parse(rule)
    rows, note = read_rows(Path(path), curve_is)
    found = []
    for model in dict.fromkeys(row.model for row in rows):
        dim3, errors = assemble((row.dim3, row.seed, row.error) for row in rows if row.model == model)
        check_falls(model, dim3, errors, curve_is)
        enough = len(dim3) >= LEAST_POINTS
        found.append(Judged(model, len(dim3), judge(dim3, errors, rule=rule) if enough else None, note))
    return found


if __name__ == "__main__":
    sys.exit(main())
