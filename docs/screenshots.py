"""Take the screenshots of the README and the guide: `python -m docs.screenshots docs/images`, in the checkout.

It scans the digits with their preset in a temporary folder, writes the report, and opens in Chromium the report, the
MLflow UI and the table of the study. It takes three minutes; with a second argument, a folder that has `mlflow.db` and
`reports`, half a minute.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

from mlflow import MlflowClient
from PIL import Image
from playwright.sync_api import Page, sync_playwright
from rich.console import Console

from elbowroom.studies.execution.board import Board
from elbowroom.studies.execution.state import CellState, Stage
from elbowroom.studies.records.stored_state import StoredStudy, states
from elbowroom.studies.watch import find_parent
from elbowroom.tracking.store.addresses import view_page

STUDY, EXPERIMENT = "digits", "elbowroom"
PATIENCE = 120_000  # milliseconds
_LEFT = 4  # cells of the table that are not done
_COLOURS = 256  # of a picture: fewer merge those of classes
# MLflow's assistant opens by itself for a new user.
ALONE = "".join(
    f"if (window.origin !== 'null') localStorage.setItem('mlflow.assistant.{name}', '{value}');"
    for name, value in (("panelOpen_v1", "false"), ("fab.autoOpenedOnFirstLoad_v1", "true"))
)


class Shot(NamedTuple):
    """A picture of a page: its file, the address, the size of the window, and a selector of what must be there."""

    name: str
    address: str
    width: int
    height: int
    awaited: str


def main(out: Path, there: Path | None = None) -> None:
    """Take all pictures, of the store in the folder `there`, or of a new one."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if there is None else there
        if there is None:
            make_store(folder)
        mlflow = ["mlflow", "ui", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
        with serving(mlflow, "/health") as ui:
            table = Path(temporary) / "watch.svg"
            table.write_text(table_of(folder), encoding="utf-8")
            take([*shots(ui, folder / "reports" / "report.html"), of_table(table)], out)


def make_store(folder: Path) -> None:
    """Scan the digits, and write the report."""
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": path, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
    for words in (["studies.scan", "--preset", "digits"], ["analysis.report"]):
        subprocess.run([sys.executable, "-m", *words], cwd=folder, env=environment, check=True)


def shots(ui: str, report: Path) -> list[Shot]:
    """The pictures of pages."""
    page, drawn = report.resolve().as_uri(), ".scatterlayer .point"
    return [
        Shot("mlflow-curve.png", f"{ui}/{view_page('1', f'{EXPERIMENT}-curve', 'CHART')}", 1300, 850, drawn),
        Shot("mlflow-cells.png", f"{ui}/{view_page('1', f'{EXPERIMENT}-scatter', 'CHART')}", 1300, 850, drawn),
        Shot("report.png", page, 1100, 1030, "svg .series"),
        Shot("report-digits.png", page, 1000, 2104, "svg .series"),
    ]


def table_of(folder: Path) -> str:
    """The table of the study, as `studies.watch` prints it while the last cells run or wait, as an SVG."""
    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    state = next(states(StoredStudy(client, find_parent(client, EXPERIMENT, STUDY))))
    now, cells = time.time(), list(state.cells)
    for i, cell in enumerate(cells[-_LEFT:]):
        at_work = {
            "stage": Stage.RUNNING,
            "epoch": 40 - 20 * i,
            "epochs": 60,
            "began": now - 4,
            "worker": f"here {4711 + i}",
        }
        cells[i - _LEFT] = replace(CellState(cell.place), **at_work) if i < 2 else CellState(cell.place)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=100, file=nowhere, force_terminal=True)
        console.print(Board(replace(state, cells=tuple(cells), workers=2, running=True, note=""), now))
    return console.export_svg(title=f"python -m studies.watch --study {STUDY}")


def of_table(path: Path) -> Shot:
    """The picture of the table."""
    return Shot("watch.png", path.as_uri(), 1000, 440, "svg text")


def take(wanted: list[Shot], out: Path) -> None:
    """Open each page in Chromium, which reaches this machine alone, and keep what its window shows."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        for shot in wanted:
            context = browser.new_context(viewport={"width": shot.width, "height": shot.height})
            context.set_default_timeout(PATIENCE)
            context.add_init_script(ALONE)
            picture(context.new_page(), shot, out)
            context.close()
        browser.close()


def picture(page: Page, shot: Shot, out: Path) -> None:
    """Keep one page as a picture, once it shows what it must, and nothing moves any more."""
    local = ("http://127.0.0.1:", "file:", "data:", "blob:")
    page.route("**", lambda route: route.continue_() if route.request.url.startswith(local) else route.abort())
    page.goto(shot.address)
    page.locator(shot.awaited).first.wait_for()
    before = b""
    while (now := page.screenshot(animations="disabled")) != before:
        before = now
        page.wait_for_timeout(1000)
    Image.open(io.BytesIO(now)).quantize(_COLOURS, dither=Image.Dither.NONE).save(out / shot.name, optimize=True)


@contextmanager
def serving(command: list[str], path: str) -> Iterator[str]:
    """Run a server on a free port while the block runs; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [
        str(Path(sys.executable).with_name(command[0])),
        *command[1:],
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    server = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
                break
            except OSError:
                if server.poll() is not None:
                    raise
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
