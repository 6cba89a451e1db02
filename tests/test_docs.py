"""The docs hold: every command in them is run, every link leads somewhere, and what the guide prints comes out.

A command of a page is run here as written, but for what `SMALLER` appends to make it small, in the order of the page
and in one store; or by the test that `ELSEWHERE` names; or `NOT_HERE` says why it isn't. Any other fails.
"""

import importlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import psycopg
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

from elbowroom.studies.grid import PRESETS, Grid
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.store.names import Kind, Tag
from tests.conftest import BIN, ROOT, environment, free_port, marked, signals_kept
from tests.studies.harness import kill_tree, postgres_server, until

pytestmark = pytest.mark.integration

PAGES = [
    str(p.relative_to(ROOT))
    for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
]
PROGRAMS = ("python", "python3", "mlflow", "make", "pip", "dask", "createdb", "jupyter", "optuna-dashboard")

DELEGATED = {
    page: str(module.relative_to(ROOT))
    for page in PAGES
    if (module := ROOT / "tests" / f"test_{Path(page).stem}.py").exists() and Path(page).name in module.read_text()
}
"""Pages whose commands a test module of their own runs: docs/x.md has tests/test_x.py, which names it."""

SMALLER = {
    "tracking.train": "--epochs 1 --dim2 16",
    "studies.scan": "--dim3 2:3 --seeds 1 --epochs 1 --dim2 16",
    "studies.tune": "--dim3 2 --trials 2 --epochs 1",
    "studies.assignment": "--show 2 --repeats 2",
    "benchmarks.elbow": "--repeats 1 --seeds 1 --ranges 2..10 --noises 0.01 --workers 1",
    "benchmarks.store": "--sizes 20 40 --rows 20 --backends sqlite",
}
"""What is appended to a command of this module; of a flag that stands there twice the last counts."""
TINY = Grid(dict.fromkeys(("pca", "ae", "vae"), (2, 3)), 1, RunConfig(dataset="digits", dim2=16, epochs=1), "quick")
"""Instead of every preset."""
DATA = {"mnist": "digits", "default": "digits", None: "digits", "mine.csv": "mine.csv", "digits": "digits"}
"""What a command is given for its `--dataset`; None: it names none."""
PLACEHOLDERS = {
    "NAME": "elbowroom",
    "DIR": "out",
    "FILE.csv": "docs/results/mnist/cells.csv",
    "http://your.server": "sqlite:///mlflow.db",
}

HERE = "tests/test_docs.py"
CLUSTER = "tests/studies/execution/test_cluster.py"
TRAINING = "tests/benchmarks/test_training.py"
SCAN = "tests/benchmarks/test_scan.py"
STACK = "tests/benchmarks/test_stack.py"
WAITING = "tests/benchmarks/test_waiting.py"
ELSEWHERE = {
    "mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1": "tests/browser/test_mlflow_ui.py",
    "make ui": "tests/browser/test_mlflow_ui.py",
    "python -m studies.oracles": "tests/studies/test_oracles.py::test_all_hold_and_are_runs_of_their_own_kind",
    "python -m benchmarks.training --epochs 2": f"{TRAINING}::test_every_contestant_of_this_environment_runs",
    "python -m benchmarks.training --device cuda": f"{TRAINING}::test_every_contestant_of_this_environment_runs",
    "python -m benchmarks.time_to_quality": f"{TRAINING}::test_the_plain_loop_learns_from_the_rows_that_we_learn_from",
    "python -m benchmarks.scan": (
        f"{SCAN}::test_the_command_times_a_scan_without_a_plain_loop_where_the_data_are_not_mnist"
    ),
    "python -m benchmarks.start": f"{SCAN}::test_the_driver_ends_where_the_first_epoch_begins",
    "python -m benchmarks.waiting": f"{WAITING}::test_a_training_is_timed_alone_and_beside_others_which_end",
    "python -m benchmarks.stack": f"{STACK}::test_masked_latents_get_no_gradient_and_both_ways_train",
    "python slurm.py": f"{CLUSTER}::test_the_slurm_recipe_makes_a_job_of_one_worker_with_one_thread",
}
NOT_HERE = {
    ". .venv/bin/activate": "Python's own",
    "python3 -m venv .venv": "Python's own; make does it, and CI runs make",
    "make test": "it runs this test",
    "make test-slow": "it runs this test",
    "make test-unit": "it is a part of make test",
    "make soak": "it is long; whoever changes what it tries runs it",
    "make check": "CI runs it",
    "pip install -r requirements-notebooks.txt jupyterlab": "JupyterLab is large, and no test needs it",
    "jupyter lab notebooks": "a page for a person; tests/test_notebooks.py runs what it opens",
    "mlflow run . -P name=value": "how a command is formed",
    "python -m tracking.train --name value": "how a command is formed",
}
SCRIPTS = {
    ("README.md", "import mlflow"): f"{HERE}::test_a_logged_model_is_used_as_the_readme_says",
    ("docs/guide.md", "python -m studies.scan --models pca,ae --dim3 1:12"): f"{HERE}::test_your_own_data",
    ("docs/guide.md", '"""Keep the dim3 columns'): f"{HERE}::test_your_own_model",
    ("docs/guide.md", "export PYTHONPATH=~/elbowroom"): f"{HERE}::test_your_own_model",
    ("docs/guide.md", '"""Two hidden layers'): f"{HERE}::test_your_own_model",
    ("docs/guide.md", "python -m tracking.train --model networks:deep"): f"{HERE}::test_your_own_model",
    ("docs/cluster.md", "createdb tracking"): f"{HERE}::test_a_cluster_of_one_machine",
    ("docs/cluster.md", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"): f"{HERE}::test_a_cluster_of_one_machine",
    ("docs/cluster.md", "python -m studies.scan --preset digits"): f"{HERE}::test_a_cluster_of_one_machine",
    ("docs/cluster.md", "export PYTHONPATH=$PWD"): f"{HERE}::test_a_cluster_of_one_machine",
    ("docs/cluster.md", "python -m studies.scan --preset assignment"): f"{HERE}::test_a_cluster_of_one_machine",
    ("docs/cluster.md", "import os"): (f"{CLUSTER}::test_the_slurm_recipe_makes_a_job_of_one_worker_with_one_thread"),
}
"""Whole blocks, by page and beginning, and the test that runs them."""


class Block(NamedTuple):
    """A fenced block: where it begins, what stands behind the fence, and its text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def test(self) -> str | None:
        """That of SCRIPTS."""
        return next((t for (p, begin), t in SCRIPTS.items() if p == self.page and self.text.startswith(begin)), None)


class Command(NamedTuple):
    """A line for a shell, without its comment, and where it stands."""

    place: str
    text: str


def parted(page: str, text: str) -> tuple[list[Block], str]:
    """The fenced blocks of a page, and its text with blank lines in their place."""
    found, prose, fence = [], [], ""
    begun, inside = 0, []
    for number, line in enumerate(text.splitlines(), start=1):
        if fence:
            if line.strip() == "```":
                found.append(Block(page, begun, fence[3:].strip(), "\n".join(inside)))
                fence = ""
            inside.append(line)
        elif line.startswith("```"):
            fence, begun, inside = line, number + 1, []
        prose.append("" if fence or line.strip() == "```" else line)
    assert not fence, f"{page}:{begun}: a block without an end"
    return found, "\n".join(prose)


def lines(block: Block) -> Iterator[Command]:
    """The commands of a block: a line each, those joined that end with a backslash, without comments."""
    number, kept = block.line, ""
    for offset, line in enumerate(block.text.splitlines()):
        if not kept:
            number = block.line + offset
        kept += re.sub(r"(^|\s)\s*#.*", "", line)
        if kept.endswith("\\"):
            kept = kept[:-1].rstrip() + " "
            continue
        if kept.strip():
            yield Command(f"{block.page}:{number}", " ".join(kept.split()))
        kept = ""


def spans(page: str, prose: str) -> Iterator[Command]:
    """The commands between single backticks in a page's text; `mlflow server` and no more is a name."""
    for found in re.finditer(r"(?<!`)`([^`]+)`(?!`)", prose):
        text = " ".join(found[1].split())
        first, _, rest = text.partition(" ")
        if first in PROGRAMS and rest and not re.fullmatch(r"(mlflow|dask) \w+", text):
            yield Command(f"{page}:{prose.count(chr(10), 0, found.start()) + 1}", text)


@cache
def blocks(page: str) -> tuple[Block, ...]:
    return tuple(parted(page, (ROOT / page).read_text())[0])


@cache
def commands(page: str) -> list[Command]:
    """All of a page, in its order, but those of the blocks in SCRIPTS."""
    found, prose = parted(page, (ROOT / page).read_text())
    shell = [c for b in found if b.language in ("sh", "bash", "console") and b.test is None for c in lines(b)]
    return sorted([*shell, *spans(page, prose)], key=lambda c: int(c.place.rpartition(":")[2]))


def block(page: str, begin: str) -> str:
    """The text of the one block of a page that begins so."""
    (found,) = (b.text for b in blocks(page) if b.text.startswith(begin))
    return found


# What a command comes to


@cache
def module_of(text: str) -> list[str] | None:
    """A module of the project and its arguments, as `make`, `mlflow run` or Python would run it; None: it runs none."""
    words = shlex.split(text)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    if words[:1] == ["make"] and words[1:] != ["help"]:
        made = [
            "make",
            "--dry-run",
            "--no-print-directory",
            "-o",
            ".venv/run.stamp",
            "-o",
            ".venv/test.stamp",
            *words[1:],
        ]
        done = subprocess.run(made, cwd=ROOT, capture_output=True, text=True, check=True)
        return module_of(done.stdout.splitlines()[-1])
    if words[:3] == ["mlflow", "run", "."]:
        return module_of(entry_point(words[3:]))
    if len(words) > 2 and Path(words[0]).name == "python" and words[1] == "-m":
        return words[2:] if words[2].partition(".")[0] in ("analysis", "benchmarks", "studies", "tracking") else None
    return None


def entry_point(words: list[str]) -> str:
    """The command that MLproject has for the words after `mlflow run .`."""
    name, given = "main", {}
    for flag, value in zip(words[::2], words[1::2], strict=True):
        if flag == "-e":
            name = value
        elif flag == "-P":
            given[value.partition("=")[0]] = value.partition("=")[2]
        else:
            assert (flag, value) == ("--env-manager", "local"), f"mlflow run . {flag} {value}"
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"][name]
    declared = entry.get("parameters", {})
    assert set(given) <= set(declared), f"MLproject's {name} has no {sorted(set(given) - set(declared))}"
    values = {k: shlex.quote(str(given.get(k, v["default"]))) for k, v in declared.items()}
    return str(entry["command"]).format(**values)


def smaller(words: list[str]) -> list[str]:
    """A module's arguments with placeholders filled in, and with what makes it small behind them."""
    module, *given = [PLACEHOLDERS.get(word, word) for word in words]
    if "--help" in given:
        return [module, *given]
    more = shlex.split(SMALLER.get(module, ""))
    if module in ("tracking.train", "studies.scan", "studies.tune") and not preset(given):
        more += ["--dataset", DATA[value_of("--dataset", given)]]
    return [module, *given, *more]


def value_of(flag: str, words: list[str]) -> str | None:
    """The value that counts."""
    return next((v for f, v in reversed(list(pairwise(words))) if f == flag), None)


def preset(words: list[str]) -> bool:
    return value_of("--preset", words) not in (None, "default")


def test_make_and_mlflow_run_are_followed_to_the_module() -> None:
    scan = module_of("make scan")
    assert scan is not None
    assert (scan[0], value_of("--preset", scan), value_of("--confirm", scan)) == ("studies.scan", "quick", "no")
    assert scan == module_of("mlflow run . -e scan -P preset=quick --env-manager local")
    full = module_of("make assignment FULL=yes")
    assert full is not None
    assert value_of("--full", full) == "yes"
    with pytest.raises(AssertionError, match="MLproject's scan has no"):
        module_of("mlflow run . -e scan -P presets=quick")


# Every command has a way to be run


def way(command: Command, page: str) -> str | None:
    """How a command is run: `here`, or what one of the tables says; None where nothing runs it."""
    if page in DELEGATED:
        return DELEGATED[page]
    if command.text == "make help":
        return "here"
    if command.text.startswith("pip install") and command.text not in NOT_HERE:
        return f"{HERE}::test_what_is_installed_is_what_the_docs_install"
    return NOT_HERE.get(command.text) or ELSEWHERE.get(command.text) or ("here" if module_of(command.text) else None)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_every_block_of_python_is_run_by_a_test(page: str) -> None:
    lost = [f"{c.place}: `{c.text}`" for c in commands(page) if way(c, page) is None]
    assert not lost, "run by no test; give it an entry in ELSEWHERE or NOT_HERE:\n" + "\n".join(lost)
    found = blocks(page)
    assert [b.place for b in found if b.language not in ("sh", "python", "text")] == []
    if page in DELEGATED:
        return
    printed = {b.line for b, after in pairwise(found) if after.language == "text"}
    lost = [b.place for b in found if b.language == "python" and b.test is None and b.line not in printed]
    assert not lost, f"Python that no test runs; put its output behind it as ```text, or name a test in SCRIPTS: {lost}"


def test_no_entry_of_a_table_is_left_over_or_names_a_test_that_is_not_there() -> None:
    written = {c.text for page in PAGES for c in commands(page)}
    everything = [b for page in PAGES for b in blocks(page)]
    assert [t for t in (*ELSEWHERE, *NOT_HERE) if t not in written] == []
    assert [k for k in SCRIPTS if sum(b.page == k[0] and b.text.startswith(k[1]) for b in everything) != 1] == []
    modules = {words[0] for t in written if t not in NOT_HERE and (words := module_of(t))}
    assert [m for m in SMALLER if m not in modules] == []
    for file, _, name in (test.partition("::") for test in {*ELSEWHERE.values(), *SCRIPTS.values()}):
        assert (f"def {name}(" if name else "def test_") in (ROOT / file).read_text(), name


# They are run


@pytest.fixture
def checkout(store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with everything of the checkout but its environment, an empty store, and a table of one's own."""
    for path in ROOT.iterdir():
        if path.name in ("MLproject", "Makefile", "README.md", "conda.yaml") or path.suffix == ".txt":
            (tmp_path / path.name).symlink_to(path)
        if path.is_dir() and ((path / "__init__.py").exists() or path.name in ("docs", "notebooks")):
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path / "cache"))
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"):
        monkeypatch.setenv(name, "1")  # which a study sets, given back
        monkeypatch.delenv(name)
    with signals_kept():
        yield tmp_path


@pytest.fixture
def small(checkout: Path, cells_here: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where cells train in this process, presets are tiny, and the data of the examples lie."""
    for name in PRESETS:
        monkeypatch.setitem(PRESETS, name, TINY)
    python(block("docs/guide.md", "from sklearn.datasets import load_breast_cancer"), {})
    return checkout


def python(text: str, names: dict[str, object]) -> None:
    """Run a block of Python, in these names."""
    exec(compile(text, "docs", "exec"), names)


def run(words: list[str]) -> int:
    """The exit code of a module of the project with these arguments, in this process."""
    try:
        return int(importlib.import_module(words[0]).main(words[1:]))
    except SystemExit as stop:  # --help
        return int(stop.code or 0)


def shell(text: str, folder: Path, **more: str) -> str:
    """What a script prints; it must end well."""
    env = environment(**more)
    if "PYTHONPATH=" in text:
        del env["PYTHONPATH"]
    done = subprocess.run(["sh", "-eu", "-c", text], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(page: str) -> list[Command]:
    return [c for c in commands(page) if way(c, page) == "here" and c.text != "make help"]


LONG = "docs/performance.md"  # its commands are the benchmarks


@pytest.mark.parametrize(
    "page",
    [*marked("slow", *(p for p in PAGES if p not in (*DELEGATED, LONG) and here(p))), *marked("soak", LONG)],
)
def test_the_commands_of_a_page_run(page: str, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[list[str]] = []
    for command in here(page):
        words = module_of(command.text)
        assert words is not None
        if (words := smaller(words)) in done and not words[0].startswith("analysis"):
            continue
        done.append(words)
        capsys.readouterr()
        code = run(words)
        said = capsys.readouterr()
        assert code == 0, f"{command.place}: {command.text}, run as {shlex.join(words)}: exit code {code}\n{said.err}"
        assert "error:" not in said.err, command.place
    assert done


def test_make_help_lists_the_targets_that_the_readme_names() -> None:
    named = {c.text.split()[1] for c in commands("README.md") if c.text.startswith("make ")}
    listed = {line.split()[1] for line in shell("make help", ROOT).splitlines()}
    assert named <= listed
    assert {"run", "test", "scan", "report"} <= named


@pytest.mark.slow  # so that it isn't asked of `make test-lowest`, which has other versions
@pytest.mark.parametrize(
    "text",
    sorted({c.text for p in PAGES if p not in DELEGATED for c in commands(p) if "test_what_is" in (way(c, p) or "")}),
)
def test_what_is_installed_is_what_the_docs_install(text: str, checkout: Path) -> None:
    """Nothing is left to install here but torch's CPU build, which has torch's version; no index is asked."""
    words = [str(BIN / "python"), "-m", *shlex.split(text), "--dry-run", "--no-index", "--no-deps"]
    done = subprocess.run(words, cwd=checkout, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stderr
    assert "Would install" not in done.stdout


def test_a_logged_model_is_used_as_the_readme_says(small: Path, store: MlflowClient) -> None:
    assert run(["tracking.train", "--model", "vae", "--dataset", "digits", "--epochs", "1"]) == 0
    (made,) = store.search_runs([store.get_experiment_by_name("elbowroom").experiment_id])
    names: dict[str, object] = {"x": load_dataset("digits").x_test}
    python(block("README.md", "import mlflow").replace("<run id>", made.info.run_id), names)
    assert np.shape(names["codes"]) == (299, 2)
    assert np.shape(names["images"]) == (9, 64)
    assert "or decode, reconstruct" in block("README.md", "import mlflow")
    for op in ("decode", "reconstruct"):
        given = names["codes"] if op == "decode" else names["x"]
        assert np.shape(names["model"].predict(given, params={"op": op})) == (299, 64)  # type: ignore[attr-defined]


PRINTING = [
    (b, after)
    for page in PAGES
    if page not in DELEGATED
    for b, after in pairwise(blocks(page))
    if (b.language, after.language) == ("python", "text")
]


@pytest.mark.parametrize(("code", "printed"), PRINTING, ids=[code.place for code, _ in PRINTING])
def test_python_prints_what_stands_below_it(
    code: Block, printed: Block, checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python(code.text, {})
    assert capsys.readouterr().out.rstrip().splitlines() == printed.text.splitlines()


@pytest.mark.slow  # so that it isn't asked of `make test-lowest`, whose matplotlib draws otherwise
def test_the_figures_are_drawn_by_their_script(checkout: Path) -> None:
    (checkout / "new").mkdir()
    shell("python docs/figures.py new", checkout)
    for made in (checkout / "new").iterdir():
        with Image.open(made) as new, Image.open(ROOT / "docs" / "images" / made.name) as kept:
            assert new.size == kept.size
            assert np.abs(np.asarray(new, dtype=float) - np.asarray(kept, dtype=float)).mean() < 1  # of 255
    assert {f.name for f in (checkout / "new").iterdir()} == {"knee.png", "pixel.png"}


SENTENCE = "pca: use dim3 = 6"


@pytest.mark.slow
@pytest.mark.server
def test_your_own_data(checkout: Path) -> None:
    """As written but for the range and the epochs, and in a browser that keeps the address."""
    found = block("docs/guide.md", "python -m studies.scan --models pca,ae --dim3 1:12")
    (scan, report, show) = [c.text for c in lines(Block("docs/guide.md", 1, "sh", found))]
    python(block("docs/guide.md", "from sklearn.datasets import load_breast_cancer"), {})
    small = f"{scan} --dim3 1:7 --epochs 1 --dim2 16"
    assert "--dim3 1:12 --epochs 100" in scan
    (checkout / "browser").write_text('#!/bin/sh\nprintf %s "$1" > opened\n')
    (checkout / "browser").chmod(0o755)
    said = shell("\n".join([small, report, show]), checkout, BROWSER=str(checkout / "browser"))
    expected = block("docs/guide.md", SENTENCE)
    assert said.count(expected) == 1
    opened = Path(unquote((checkout / "opened").read_text().removeprefix("file://")))
    assert opened == checkout / "reports" / "report.html"
    assert "mine" in opened.read_text()


@pytest.mark.slow
@pytest.mark.server
def test_your_own_model(tmp_path: Path, empty_database: Path) -> None:
    """As written, in a folder of one's own, beside a checkout at ~/elbowroom."""
    (tmp_path / "elbowroom").symlink_to(ROOT)
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copyfile(empty_database, mine / "mlflow.db")
    (mine / "columns.py").write_text(block("docs/guide.md", '"""Keep the dim3 columns'))
    (mine / "networks.py").write_text(block("docs/guide.md", '"""Two hidden layers'))
    script = block("docs/guide.md", "export PYTHONPATH=~/elbowroom")
    script += "\n" + block("docs/guide.md", "python -m tracking.train --model networks:deep")
    said = shell(script, mine, HOME=str(tmp_path), ELBOWROOM_CACHE=str(tmp_path / "cache"))
    assert "KeptColumns with 16 latent dimensions" in said
    assert "mean squared error 0.0219" in said  # as the guide says
    assert "PCA errs less than KeptColumns at dim3 2, 4, 8, 16, 32" in said
    store = MlflowClient(f"sqlite:///{mine}/mlflow.db")
    runs = store.search_runs([store.get_experiment_by_name("elbowroom").experiment_id])
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert sum(r.data.tags[Tag.KIND] == Kind.RUN for r in runs) == 12


@pytest.mark.soak
@pytest.mark.server
@pytest.mark.timeout(900)
def test_a_cluster_of_one_machine(tmp_path: Path) -> None:
    """The page's servers, scheduler, workers and studies, with 127.0.0.1 for every host, free ports and small grids."""
    begins = ("createdb tracking", "MLFLOW_SERVER", "export PYTHONPATH", "python -m studies.scan --preset d")
    made, server, dask, first = [[c.text for c in page_block(b)] for b in begins]
    (second,) = (c.text for c in page_block("python -m studies.scan --preset assignment"))
    assert made == ["createdb tracking", "createdb optuna"]
    exported, scheduler, worker = dask
    assert exported == "export PYTHONPATH=$PWD"
    web, port = free_port(), free_port()
    with postgres_server() as postgres:
        with psycopg.connect(f"{postgres.uri}/postgres".replace("+psycopg", "")) as connection:
            there = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        assert {text.split()[1] for text in made} <= there  # by SQL: pip's PostgreSQL brings no createdb
        changes = {
            "postgresql+psycopg://me:PASSWORD@127.0.0.1": postgres.uri,
            "postgresql+psycopg://me@127.0.0.1": postgres.uri,
            "head-node": "127.0.0.1",
            "10.0.0.1": "127.0.0.1",
            "0.0.0.0": "127.0.0.1",
            "5000": str(web),
            "8786": str(port),
            "--nworkers 16": f"--nworkers 2 --local-directory {tmp_path}/dask",
            "--workers 4": "--workers 1",
        }
        grid = "--models pca,ae --dim3 2:3 --seeds 1 --epochs 1 --dim2 16 --dataset digits --experiment docs"

        def changed(text: str) -> str:
            for old, new in changes.items():
                text = text.replace(old, new)
            return text

        started: list[tuple[subprocess.Popen[bytes], Path]] = []

        def begin(text: str, ready: Callable[[str], bool]) -> None:
            path = tmp_path / f"{len(started)}.log"
            with path.open("w") as log:
                process = subprocess.Popen(
                    ["sh", "-c", f"{exported}; exec env {changed(text)}"], cwd=ROOT, stdout=log, stderr=log, env=env
                )
            started.append((process, path))
            until(lambda: ready(path.read_text()) or dead(process, path), path.read_text)

        def dead(process: subprocess.Popen[bytes], path: Path) -> None:
            assert process.poll() is None, path.read_text()

        env = environment(ELBOWROOM_CACHE=str(tmp_path / "cache"))
        del env["PYTHONPATH"]
        try:
            begin(server[0].replace("./artifacts", str(tmp_path / "artifacts")), lambda log: "Uvicorn running" in log)
            begin(scheduler, lambda log: "Scheduler at:" in log)
            begin(worker, lambda log: log.count("Registered to:") >= 2)
            for number, text in enumerate((first[0], second)):
                study = f"{changed(text)} {grid} --study s{number}"
                said = shell(study, ROOT, ELBOWROOM_CACHE=str(tmp_path / "cache"))
                assert f"see it at http://127.0.0.1:{web}" in said
        finally:
            for process, _ in reversed(started):
                kill_tree(process)


def page_block(begin: str) -> Iterator[Command]:
    return lines(next(b for b in blocks("docs/cluster.md") if b.text.startswith(begin)))


# Links


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    _, prose = parted(str(page), page.read_text())
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#+ +(.+?) *$", prose, re.MULTILINE):
        name = slug(heading)
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return names


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page: str) -> None:
    _, prose = parted(page, (ROOT / page).read_text())
    prose = re.sub(r"`[^`]*`", "", prose)
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path, _, anchor = unquote(target).partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            lost.append(target)
    assert lost == []


def test_pictures_of_the_docs_are_small_and_used() -> None:
    text = "".join((ROOT / page).read_text() for page in PAGES)
    for file in (ROOT / "docs" / "images").iterdir():
        assert file.stat().st_size < 200_000, file.name
        assert f"images/{file.name}" in text
