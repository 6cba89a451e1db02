"""The script that takes the screenshots of the docs."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.browser.conftest import MARKS, Browsed
from tests.conftest import ROOT, environment

pytestmark = [*MARKS, pytest.mark.server]


def test_the_screenshots_are_taken_by_their_script(browsed: Browsed, tmp_path: Path) -> None:
    """The pictures of the docs show another grid, so only the sizes are compared."""
    command = [sys.executable, "-m", "docs.screenshots", str(tmp_path), str(browsed.folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    taken = sorted(file.name for file in tmp_path.iterdir())
    assert taken == ["mlflow-cells.png", "mlflow-curve.png", "report-digits.png", "report.png", "watch.png"]
    for name in taken:
        with Image.open(tmp_path / name) as now, Image.open(ROOT / "docs" / "images" / name) as kept:
            assert now.size == kept.size
            assert np.asarray(now.convert("L")).std() > 10
