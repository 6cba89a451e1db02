"""The environment with the lowest versions that pyproject.toml allows, as requirements: for `make test-lowest`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def lowest() -> list[str]:
    """Each dependency of the project and of its extras at the lowest version allowed, `name==version`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ranges = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    return sorted({r.replace(">=", "==") for r in ranges})


def tools() -> list[str]:
    """Return the tests' own requirements, as in requirements-dev.txt."""
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    return [line for line in lines if re.match(r"\w", line)]


if __name__ == "__main__":
    print("\n".join([*lowest(), *tools()]))
