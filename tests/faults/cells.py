"""Counts the cells of disturbed studies: none may be lost or doubled."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from optuna.trial import TrialState

from elbowroom.studies.records.study import done_cells
from tests.conftest import DISTURBED
from tests.studies.harness import OPEN, Study


@dataclass(frozen=True)
class Cells:
    """The cells of one test; pytest prints the sum over all tests at its end."""

    record: Callable[[str, object], None]
    """Writes a property of the test's report, because tests run in several processes."""

    def count(self, study: Study, asked: int) -> None:
        """Count the cells of a study that has ended, and fail where one is lost or doubled."""
        runs = [r for r in study.runs() if r.info.status == "FINISHED"]
        names = Counter(r.info.run_name for r in runs)
        lost, doubled = max(0, asked - len(names)), sum(names.values()) - len(names)
        self.record(DISTURBED, (asked, lost, doubled))
        assert (lost, doubled) == (0, 0), (asked, names, study.log)
        assert len({c.run.info.run_id for c in done_cells(runs, {}).values()}) == asked
        assert set(study.statuses()) <= {"FINISHED", "FAILED", "KILLED"}, study.statuses()
        complete = [t.user_attrs["run_id"] for t in study.trials(TrialState.COMPLETE)]
        assert sorted(complete) == sorted(r.info.run_id for r in runs)
        assert study.trials(*OPEN) == []
        assert study.parent().info.status == "FINISHED"
