"""The docs hold: every command in them is run, every link leads somewhere, and what the guide prints comes out.

A command of a page is run here as written, but for what `SMALLER` appends to make it small, in the order of the page
and in one store; or by a test that `ELSEWHERE` names; or `NOT_HERE` says why it isn't. Any other fails.
"""

import importlib
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import numpy as np
import pytest
import yaml
from mlflow import MlflowClient
from PIL import Image

from elbowroom.studies.grid import PRESETS, Grid
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data import load_dataset
from elbowroom.tracking.store.names import Kind, Tag
from tests.conftest import BIN, ROOT, environment, free_port, marked, signals_kept
from tests.studies.harness import Server, postgres_server, until

pytestmark = pytest.mark.integration

DELEGATED = ("docs/api.md", "docs/deploy.md")
"""Pages whose commands tests/test_api.py and tests/test_deploy.py run."""
PAGES = [
    str(p.relative_to(ROOT))
    for p in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
]
PROGRAMS = ("python", "python3", "mlflow", "make", "pip", "dask", "createdb", "jupyter", "optuna-dashboard")

SMALLER = {
    "tracking.train": "--epochs 1 --dim2 16",
    "studies.seek": "--max-cells 2 --epochs 1 --dim2 16",
    "studies.scan": "--dim3 2:3 --seeds 1 --epochs 1 --dim2 16",
    "studies.tune": "--dim3 2 --trials 2 --epochs 1",
    "studies.assignment": "--show 2 --repeats 2",
    "benchmarks.elbow": "--repeats 1 --seeds 1 --ranges 2..10 --noises 0.01 --workers 1",
    "benchmarks.store": "--sizes 20 40 --rows 20 --backends sqlite",
}
"""What is appended to a command of this module; of a flag that stands there twice the last counts."""
TINY = Grid(dict.fromkeys(("pca", "ae", "vae"), (2, 3)), 1, RunConfig(dataset="digits", dim2=16, epochs=1), "quick")
"""Instead of every preset."""
DATA = {"mnist": "digits", "default": "digits", None: "digits"} | {n: n for n in ("mine.csv", "digits", "low-rank")}
"""What a command is given for its `--dataset`; None: it names none."""
PLACEHOLDERS = {
    "NAME": "elbowroom",
    "DIR": "out",
    "FILE.csv": "docs/results/mnist/cells.csv",
    "http://your.server": "sqlite:///mlflow.db",
}
ELSEWHERE = {
    "mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1": "tests/browser/test_mlflow_ui.py",
    "make ui": "tests/browser/test_mlflow_ui.py",
    "optuna-dashboard sqlite:///optuna.db": "tests/browser/test_optuna_dashboard.py",
    "python slurm.py": "tests/studies/execution/test_cluster.py",
    "studies.oracles": "tests/studies/test_oracles.py",
    "studies.watch": "tests/studies/test_watch.py",
    "benchmarks.training": "tests/benchmarks/test_training.py",
    "benchmarks.time_to_quality": "tests/benchmarks/test_training.py",
    "python -m benchmarks.scan": "tests/benchmarks/test_scan.py",
    "benchmarks.start": "tests/benchmarks/test_scan.py",
    "benchmarks.waiting": "tests/benchmarks/test_waiting.py",
    "benchmarks.stack": "tests/benchmarks/test_stack.py",
}
"""A command, or the module that it runs, and the test of it."""
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
CLUSTER = (
    "createdb tracking",
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION",
    "export PYTHONPATH=$PWD",
    "python -m studies.scan --preset digits",
    "python -m studies.scan --preset assignment",
)
OWN_DATA = "python -m studies.seek --models pca,ae --epochs 100"
OWN_MODEL = (
    '"""Keep the dim3 columns',
    '"""Two hidden layers',
    "export PYTHONPATH=~/elbowroom",
    "python -m tracking.train --model networks:deep",
)
WHOLE = {
    "README.md": ("import mlflow",),
    "docs/guide.md": (OWN_DATA, *OWN_MODEL),
    "docs/cluster.md": (*CLUSTER, "import os"),  # the last is run by tests/studies/execution/test_cluster.py
}
"""The beginnings of blocks that a test runs as a whole, by page."""


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
    def whole(self) -> bool:
        return self.text.startswith(WHOLE.get(self.page, ()))


class Command(NamedTuple):
    """A line for a shell, without its comment, and where it begins on its page."""

    line: int
    text: str


FENCED = re.compile(r"^```(\w*)\n(.*?)\n```$", re.DOTALL | re.MULTILINE)


@cache
def blocks(page: str) -> list[Block]:
    text = (ROOT / page).read_text()
    return [Block(page, 1 + text.count("\n", 0, m.start(2)), m[1], m[2]) for m in FENCED.finditer(text)]


def block(page: str, begin: str) -> Block:
    """The one block of a page that begins so."""
    (found,) = (b for b in blocks(page) if b.text.startswith(begin))
    return found


def prose(page: str | Path) -> str:
    """The text of a page with blank lines in the place of its blocks."""
    text = FENCED.sub(lambda m: "\n" * m[0].count("\n"), (ROOT / page).read_text())
    assert not re.search("^```", text, re.MULTILINE), f"{page}: a block without an end"
    return text


def lines(block: Block) -> Iterator[Command]:
    """The commands of a block: a line each, those joined that end with a backslash, without comments."""
    for found in re.finditer(r"(?:.*\\\n)*.+", block.text):
        text = " ".join(re.sub(r"(^|\s)\s*#.*|\\$", "", found[0], flags=re.MULTILINE).split())
        if text:
            yield Command(block.line + block.text.count("\n", 0, found.start()), text)


def spans(page: str) -> Iterator[Command]:
    """The commands between single backticks in a page's text; `mlflow server` and no more is a name."""
    text = prose(page)
    for found in re.finditer(r"(?<!`)`([^`]+)`(?!`)", text):
        command = " ".join(found[1].split())
        first, _, rest = command.partition(" ")
        if first in PROGRAMS and rest and not re.fullmatch(r"(mlflow|dask) \w+", command):
            yield Command(text.count("\n", 0, found.start()) + 1, command)


@cache
def commands(page: str) -> list[Command]:
    """All of a page, in its order, but those of the blocks in WHOLE."""
    shell = [c for b in blocks(page) if b.language in ("sh", "bash", "console") and not b.whole for c in lines(b)]
    return sorted([*shell, *spans(page)], key=lambda c: c.line)


# What a command comes to


@cache
def module_of(text: str) -> list[str] | None:
    """A module of the project and its arguments, as `make`, `mlflow run` or Python would run it; None: it runs none."""
    words = shlex.split(re.sub(r"^([A-Z_]+=\S* +)*", "", text))
    if words[:1] == ["make"] and words[1:] != ["help"]:
        installed = ("-o", ".venv/run.stamp", "-o", ".venv/test.stamp")
        made = ["make", "--dry-run", "--no-print-directory", *installed, *words[1:]]
        done = subprocess.run(made, cwd=ROOT, capture_output=True, text=True, check=True)
        return module_of(done.stdout.splitlines()[-1])
    if words[:3] == ["mlflow", "run", "."]:
        return module_of(entry_point(words[3:]))
    if len(words) > 2 and Path(words[0]).name == "python" and words[1] == "-m":
        return words[2:] if words[2].partition(".")[0] in ("analysis", "benchmarks", "studies", "tracking") else None
    return None


def entry_point(words: list[str]) -> str:
    """The command that MLproject has for the words after `mlflow run .`."""
    flags = list(zip(words[::2], words[1::2], strict=True))
    given = dict(value.split("=", 1) for flag, value in flags if flag == "-P")
    name = dict(flags).get("-e", "main")
    assert all(flag in ("-e", "-P") or value == "local" for flag, value in flags), words
    entry = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"][name]
    declared = entry.get("parameters", {})
    assert set(given) <= set(declared), f"MLproject's {name} has no {sorted(set(given) - set(declared))}"
    return str(entry["command"]).format(
        **{k: shlex.quote(str(given.get(k, v["default"]))) for k, v in declared.items()}
    )


def smaller(words: list[str]) -> list[str]:
    """A module's arguments with placeholders filled in, and with what makes it small behind them."""
    module, *given = [PLACEHOLDERS.get(word, word) for word in words]
    if "--help" in given:
        return [module, *given]
    more = shlex.split(SMALLER.get(module, ""))
    preset = value_of("--preset", given) not in (None, "default")
    if module in ("tracking.train", "studies.seek", "studies.scan", "studies.tune") and not preset:
        more += ["--dataset", DATA[value_of("--dataset", given)]]
    return [module, *given, *more]


def value_of(flag: str, words: list[str]) -> str | None:
    """The value that counts."""
    return next((v for f, v in reversed(list(pairwise(words))) if f == flag), None)


def test_make_and_mlflow_run_are_followed_to_the_module() -> None:
    scan = module_of("make scan")
    assert scan is not None
    assert (scan[0], value_of("--preset", scan), value_of("--confirm", scan)) == ("studies.scan", "quick", "no")
    assert scan == module_of("mlflow run . -e scan -P preset=quick --env-manager local")
    assert value_of("--full", module_of("make assignment FULL=yes") or []) == "yes"
    with pytest.raises(AssertionError, match="MLproject's scan has no"):
        module_of("mlflow run . -e scan -P presets=quick")


# Every command has a way to be run


def way(text: str) -> str | None:
    """How a command is run: `here`, `installed` by pip, or as one of the tables says; None: not at all."""
    if text in NOT_HERE:
        return NOT_HERE[text]
    if text.startswith("pip install"):
        return "installed"
    module = module_of(text)
    found = ELSEWHERE.get(text) or (module and ELSEWHERE.get(module[0]))
    return found or ("here" if module or text == "make help" else None)


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_every_block_of_python_is_run_by_a_test(page: str) -> None:
    found = blocks(page)
    assert [b.place for b in found if b.language not in ("sh", "python", "text")] == []
    if page in DELEGATED:
        return
    lost = [f"{page}:{c.line}: `{c.text}`" for c in commands(page) if way(c.text) is None]
    assert not lost, "run by no test; give it an entry in ELSEWHERE or NOT_HERE:\n" + "\n".join(lost)
    printed = {b.line for b, after in pairwise(found) if after.language == "text"}
    lost = [b.place for b in found if b.language == "python" and not b.whole and b.line not in printed]
    assert not lost, f"Python that no test runs; put its output behind it as ```text, or name it in WHOLE: {lost}"


def test_no_entry_of_a_table_is_left_over() -> None:
    written = {c.text for page in PAGES for c in commands(page)}
    modules = {words[0] for text in written - NOT_HERE.keys() if (words := module_of(text))}
    assert [key for key in (*ELSEWHERE, *NOT_HERE, *SMALLER) if key not in written | modules] == []
    assert [file for file in ELSEWHERE.values() if not (ROOT / file).exists()] == []
    assert all(block(page, begin).whole for page, begins in WHOLE.items() for begin in begins)


# They are run


@pytest.fixture
def checkout(store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with everything of the checkout but its environment, and an empty store."""
    for path in ROOT.iterdir():
        file = path.name in ("MLproject", "Makefile", "README.md", "conda.yaml") or path.suffix == ".txt"
        if file or path.name in ("docs", "notebooks") or (path / "__init__.py").exists():
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path / "cache"))
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"):
        monkeypatch.setenv(name, "1")  # which a study sets, given back
        monkeypatch.delenv(name)
    with signals_kept():
        yield tmp_path


@pytest.fixture
def mine(checkout: Path) -> Path:
    """A checkout with the table of the guide's examples."""
    python(block("docs/guide.md", "from sklearn.datasets import load_breast_cancer").text, {})
    return checkout


@pytest.fixture
def small(mine: Path, cells_here: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout where cells train in this process, and presets are tiny."""
    for name in PRESETS:
        monkeypatch.setitem(PRESETS, name, TINY)
    return mine


def python(text: str, names: dict[str, object]) -> None:
    """Run a block of Python, in these names."""
    exec(compile(text, "docs", "exec"), names)


def run(words: list[str]) -> int:
    """The exit code of a module of the project with these arguments, in this process."""
    try:
        module = f"{words[0]}.__main__" if words[0] == "tracking.data" else words[0]
        return int(importlib.import_module(module).main(words[1:]))
    except SystemExit as stop:  # --help
        return int(stop.code or 0)


def shell(text: str, folder: Path, **more: str) -> str:
    """Return the output of a script, which must succeed."""
    env = environment(**more)
    if "PYTHONPATH=" in text:
        del env["PYTHONPATH"]
    done = subprocess.run(["sh", "-eu", "-c", text], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def here(page: str) -> list[Command]:
    found = [] if page in DELEGATED else commands(page)
    return [c for c in found if way(c.text) == "here" and c.text != "make help"]


LONG = "docs/performance.md"  # its commands are the benchmarks


@pytest.mark.parametrize("page", [*marked("slow", *(p for p in PAGES if p != LONG and here(p))), *marked("soak", LONG)])
def test_the_commands_of_a_page_run(page: str, small: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[list[str]] = []
    for command in here(page):
        words = smaller(module_of(command.text) or [])
        if words in done and not words[0].startswith("analysis"):
            continue
        done.append(words)
        capsys.readouterr()
        code = run(words)
        said = f"{page}:{command.line}: {shlex.join(words)}: exit code {code}\n{capsys.readouterr().err}"
        assert code == 0, said
        assert "error:" not in said
    assert done


def test_make_help_lists_the_targets_that_the_readme_names() -> None:
    named = {c.text.split()[1] for c in commands("README.md") if c.text.startswith("make ")}
    listed = {line.split()[1] for line in shell("make help", ROOT).splitlines()}
    assert named <= listed
    assert {"run", "test", "scan", "report"} <= named


@pytest.mark.slow  # so that it isn't asked of `make test-lowest`, which has other versions
@pytest.mark.parametrize(
    "text", sorted({c.text for p in PAGES if p not in DELEGATED for c in commands(p) if way(c.text) == "installed"})
)
def test_what_is_installed_is_what_the_docs_install(text: str, checkout: Path) -> None:
    """Each command of the docs finds its packages installed, torch as its CPU build of the same version; offline."""
    words = [str(BIN / "python"), "-m", *shlex.split(text), "--dry-run", "--no-index", "--no-deps"]
    assert "Would install" not in shell(shlex.join(words), checkout)


def test_a_logged_model_is_used_as_the_readme_says(small: Path, store: MlflowClient) -> None:
    assert run(["tracking.train", "--model", "vae", "--dataset", "digits", "--epochs", "1"]) == 0
    (made,) = store.search_runs([store.get_experiment_by_name("elbowroom").experiment_id])
    names: dict[str, object] = {"x": load_dataset("digits").x_test}
    text = block("README.md", "import mlflow").text
    python(text.replace("<run id>", made.info.run_id), names)
    assert np.shape(names["codes"]) == (299, 2)
    assert np.shape(names["images"]) == (9, 64)
    assert "or decode, reconstruct" in text
    for op, given in {"decode": names["codes"], "reconstruct": names["x"]}.items():
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


@pytest.mark.slow
@pytest.mark.server
def test_your_own_data(mine: Path) -> None:
    """As written but for the budget and the epochs."""
    (seek, report) = [c.text for c in lines(block("docs/guide.md", OWN_DATA))]
    said = shell(f"{seek} --max-cells 5 --epochs 1 --dim2 16\n{report}", mine)
    answer = block("docs/guide.md", "pca keeps 90 %").text.splitlines()[0]
    assert said.count(answer) == 2  # by the seek and by the report
    assert "95 % interval 6 to 8); 5 cells" in said  # PCA's, as the guide says
    assert "mine" in (mine / "reports" / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.server
def test_your_own_model(tmp_path: Path, empty_database: Path) -> None:
    """As written, in a folder of one's own, beside a checkout at ~/elbowroom."""
    (tmp_path / "elbowroom").symlink_to(ROOT)
    mine = tmp_path / "mine"
    mine.mkdir()
    shutil.copyfile(empty_database, mine / "mlflow.db")
    columns, networks, first, second = (block("docs/guide.md", begin).text for begin in OWN_MODEL)
    (mine / "columns.py").write_text(columns)
    (mine / "networks.py").write_text(networks)
    said = shell(f"{first}\n{second}", mine, HOME=str(tmp_path), ELBOWROOM_CACHE=str(tmp_path / "cache"))
    assert "KeptColumns, dim3 16: " in said
    assert "Mean squared error 0.0219" in said  # as the guide says
    assert "PCA errs less than KeptColumns at dim3 2, 4, 8, 16, 32" in said
    store = MlflowClient(f"sqlite:///{mine}/mlflow.db")
    runs = store.search_runs([store.get_experiment_by_name("elbowroom").experiment_id])
    assert {r.info.status for r in runs} == {"FINISHED"}
    assert sum(r.data.tags[Tag.KIND] == Kind.RUN for r in runs) == 12


@pytest.mark.soak
@pytest.mark.server
@pytest.mark.timeout(900)
def test_a_cluster_of_one_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's servers, scheduler, workers and studies, with 127.0.0.1 for every host, free ports and small grids."""
    monkeypatch.setenv("ELBOWROOM_CACHE", str(tmp_path / "cache"))
    found = [[c.text for c in lines(block("docs/cluster.md", begin))] for begin in CLUSTER]
    databases, (server, *_), (exported, scheduler, worker), *studies = found
    assert databases == ["createdb tracking", "createdb optuna"]  # made already: pip's PostgreSQL brings no createdb
    grid = "--models pca,ae --dim3 2:3 --seeds 1 --epochs 1 --dim2 16 --dataset digits --experiment docs"
    web = free_port()
    with postgres_server() as postgres, ExitStack() as stack:
        changes = {
            "postgresql+psycopg://me:PASSWORD@127.0.0.1": postgres.uri,
            "postgresql+psycopg://me@127.0.0.1": postgres.uri,
            "head-node": "127.0.0.1",
            "10.0.0.1": "127.0.0.1",
            "0.0.0.0": "127.0.0.1",
            "5000": str(web),
            "8786": str(free_port()),
            "--nworkers 16": f"--nworkers 2 --local-directory {tmp_path}/dask",
            "--workers 4": "--workers 1",
            "./artifacts": str(tmp_path / "artifacts"),
        }

        def changed(text: str) -> str:
            for old, new in changes.items():
                text = text.replace(old, new)
            return text

        for text, ready, times in (
            (server, "Uvicorn running", 1),
            (scheduler, "Scheduler at:", 1),
            (worker, "Registered to:", 2),
        ):
            script = f"unset PYTHONPATH; cd {ROOT}; {exported}; exec env {changed(text)}"
            started = Server(["sh", "-c", script], tmp_path, free_port())
            started.launch()
            stack.callback(started.kill)
            log = started.log.read_text
            until(lambda log=log, ready=ready, times=times: log().count(ready) >= times or None, log)
        for number, (text, *_) in enumerate(studies):
            assert f"see it at http://127.0.0.1:{web}" in shell(f"{changed(text)} {grid} --study s{number}", ROOT)


# Links


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    slugs = [slug(heading) for heading in re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)]
    return {f"{name}-{n}" if (n := slugs[:i].count(name)) else name for i, name in enumerate(slugs)}


@pytest.mark.parametrize("page", PAGES)
def test_links_and_pictures_lead_somewhere(page: str) -> None:
    lost = []
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(page))):
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
