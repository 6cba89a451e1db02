"""The course assignment answered from a tracking store: `python -m analysis.assignment --experiment NAME --out DIR`.

Reads runs and nothing else; `python -m studies.assignment` makes those that are missing first. From Python: `report`.
Exit codes: 0 done; 1 the store stopped answering; 2 bad input, one line on stderr; 130 interrupted.
"""

from __future__ import annotations

import re
import sys

from elbowroom.tracking.cli import Parser, command
from elbowroom.tracking.store.addresses import store_uri
from elbowroom.tracking.store.errors import BadInput
from elbowroom.tracking.store.terminal import say

from .reporting.assignment import SHOWN, Report, report

__all__ = ["SHOWN", "Report", "main", "parser", "report"]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""
    return command(lambda: _assignment(arguments), killed="nothing was written")


def parser() -> Parser:
    """Return the parser of the command line."""
    made = Parser("analysis.assignment", "Answer the course assignment from the measured runs of a tracking store.")
    made.add_argument("--show", default="2,10", metavar="2,10", help="the dim3 to show")
    made.add_argument("--out", default="reports", metavar="DIR", help="where to write assignment.html")
    made.add_store(read=True)
    return made


def _assignment(arguments: list[str] | None) -> int:
    given = parser().parse_args(arguments)
    words = given.show.split(",")
    if not all(re.fullmatch(r"\s*0*[1-9][0-9]{0,8}\s*", w, re.ASCII) for w in words):
        raise BadInput(f"show {given.show!r}: allowed are whole numbers from 1, like 2,10")
    done = report(
        experiment=given.experiment,
        tracking_uri=store_uri(given.tracking_uri),
        show=[int(w) for w in words],
        out=given.out,
        log=given.no_log == "no",
    )
    say(done.text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
