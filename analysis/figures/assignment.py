"""The figures of the assignment's page from the arrays of measured runs: `figures_of(groups, answers, shelf)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from elbowroom.tracking.drawing import Look, latent_plane
from elbowroom.tracking.store.errors import one_line
from elbowroom.tracking.store.names import Artifact, Source, sample_artifact

from ..latent_space.answers import SECOND_FIT, Answers, Group, Shelf, run_names
from ..latent_space.similarity import reshaped_onto
from .latent_space import AXES, draw_distances, draw_kl, draw_robustness, limits
from .panels import NARROW, WIDE, Codes, Tiles, draw_codes, draw_tiles, squared

_Array = npt.NDArray[Any]
Drawn = Figure | Codes | Tiles

_SAMPLES = 8  # pictures in a row
_PAIRS = 2  # of codes between which is interpolated, of each model


def figures_of(groups: Sequence[Group], answers: Answers, shelf: Shelf) -> dict[str, Drawn]:
    """Draw the figures of the assignment's page.

    Parameters
    ----------
    groups
        The measured runs.
    answers
        What they tell.
    shelf
        Their arrays; it notes which figures can't be drawn from them.

    Returns
    -------
    dict
        Figures by name, those that have content.
    """
    page = _Page(answers, shelf, shelf.labels([c for g in groups for c in g.cells]), _look(groups, shelf))
    here = {g.label: g for g in groups if g.dim3 == answers.shown[0]}
    cast = {role: here[label] for role, label in answers.cast.items() if label in here}
    makers: dict[str, Callable[[], dict[str, Drawn]]] = {}
    for role, group in cast.items():
        if role != "same":
            makers[f"repeats {role}"] = partial(page.repeats, role, group)
        several = group if role == "ae" else group._replace(cells=group.cells[:1])
        makers[f"planes {role}"] = partial(page.planes, role, several)
        if role in ("pca", "ae"):
            makers[f"codes {role}"] = partial(page.codes, role, group)
        if role != "pca" and "vae" in cast:
            makers[f"posterior {role}"] = partial(page.posterior, role, group)
            makers[f"prior {role}"] = partial(page.prior, role, group)
    for dim3 in answers.shown:
        mine = [g for g in groups if g.dim3 == dim3]
        makers |= {f"pictures {g.label} {dim3}": partial(page.pictures, g) for g in mine}
        makers[f"distances {dim3}"] = partial(page.distances, mine)
    makers |= {"robustness": page.robustness, "kl": page.kl}
    figures: dict[str, Drawn] = {}
    for name, make in makers.items():
        try:
            figures |= make()
        except (ValueError, IndexError) as error:
            shelf.notes.append(f"figure {name}: the arrays do not fit it: {one_line(error, 200)}")
    return figures


def _look(groups: Sequence[Group], shelf: Shelf) -> Look:
    """Return how rows are drawn: their shape by the runs, their range by the example rows."""
    cell = groups[0].cells[0]
    examples = shelf.one(cell, Artifact.ORIGINALS)
    low, high = (0.0, 1.0) if examples is None else (float(examples.min()), float(examples.max()))
    return Look(cell.image_shape) if low >= 0 and high <= 1 else Look(cell.image_shape, low, high)


class _Page(NamedTuple):
    """Draws the figures of the page; each method returns those whose arrays are there, by name."""

    answers: Answers
    shelf: Shelf
    labels: _Array | None
    look: Look

    def repeats(self, role: str, group: Group) -> dict[str, Drawn]:
        """Draw the codes of each run, and those of each but the first aligned to the first."""
        found = dict(zip(run_names(group), self.shelf.take(group.cells, Artifact.CODES), strict=True))
        if group.is_pca:
            found[SECOND_FIT] = self.shelf.one(group.cells[0], Artifact.CODES_REFIT)
        known = {name: codes for name, codes in found.items() if codes is not None}
        if not known:
            return {}
        reference = next(iter(known.values()))
        plane = latent_plane(reference).axes  # one for all: a plane for each would undo the alignment
        aligned = {n: reshaped_onto(c, reference) @ plane.T for n, c in known.items() if len(c) == len(reference)}
        window = limits(np.concatenate(list(aligned.values())))
        window = squared(window) if len(window) > 1 else window
        drawn: dict[str, Drawn] = {}
        for name, codes in known.items():
            drawn[f"came {role} {name}"] = self._drawn(codes @ latent_plane(codes).axes.T, codes)
        for name, codes in list(aligned.items())[1:]:
            drawn[f"aligned {role} {name}"] = self._drawn(codes, reference, window=window)
        return drawn

    def planes(self, role: str, group: Group) -> dict[str, Drawn]:
        """Draw the decoded plane of each run."""
        grids = zip(
            run_names(group),
            self.shelf.take(group.cells, Artifact.PLANE),
            self.shelf.take(group.cells, Artifact.PLANE_TICKS),
            strict=True,
        )
        return {
            f"plane {role} {name}": draw_tiles(x, self.look, _fitting(x, ticks))
            for name, x, ticks in grids
            if x is not None and ticks is not None
        }

    def codes(self, role: str, group: Group) -> dict[str, Drawn]:
        """Draw the codes of the first run, as wide as its plane."""
        codes = self.shelf.one(group.cells[0], Artifact.CODES)
        if codes is None:
            return {}
        return {f"codes {role}": self._drawn(codes @ latent_plane(codes).axes.T, codes, width=WIDE)}

    def posterior(self, role: str, group: Group) -> dict[str, Drawn]:
        """Draw the codes of the first run with the circles of N(0, I), and the posterior of some where there is one."""
        means = self.shelf.one(group.cells[0], Artifact.CODES)
        sds = self.shelf.one(group.cells[0], Artifact.CODES_SD) if group.has_posterior else None
        if means is None:
            return {}
        plane = latent_plane(means).axes
        widths = None
        if sds is not None and sds.shape == means.shape and len(plane) == 2:
            widths = (means @ plane.T, np.sqrt(sds.astype(float) ** 2 @ plane.T**2))
        drawn = self._drawn(means @ plane.T, means, width=WIDE, posterior=widths, equal=True)
        return {f"posterior {role}": drawn}

    def prior(self, role: str, group: Group) -> dict[str, Drawn]:
        """Draw rows decoded from draws of N(0, I): the same draws for all models."""
        source = Source.OWN if group.has_posterior else Source.NORMAL
        x = self.shelf.one(group.cells[0], sample_artifact(source))
        return {} if x is None else {f"prior {role}": draw_tiles(_in_grid(x, _SAMPLES), self.look)}

    def pictures(self, group: Group) -> dict[str, Drawn]:
        """Draw the pictures of one model: samples over their nearest training rows, interpolations, repeated draws."""
        drawn: dict[str, Drawn] = {}
        for one in (g for g in self.answers.generators if g.main and (g.label, g.dim3) == (group.label, group.dim3)):
            x, nearest = (
                self.shelf.one(group.cells[0], sample_artifact(one.source, kind)) for kind in ("samples", "nearest")
            )
            if x is not None and nearest is not None and len(x) == len(nearest):
                rows = np.stack([x[:_SAMPLES], nearest[:_SAMPLES]])
                drawn[f"samples {one.name} {group.dim3}"] = draw_tiles(rows, self.look)
        paths = self.shelf.one(group.cells[0], Artifact.INTERPOLATIONS)
        if paths is not None:
            drawn[f"interpolations {group.label} {group.dim3}"] = draw_tiles(paths[:_PAIRS, ::2], self.look)
        if group.has_posterior:
            draws = self.shelf.one(group.cells[0], Artifact.DRAWS)
            for i, x in enumerate([] if draws is None else draws[:3]):
                drawn[f"draw {i} {group.label} {group.dim3}"] = draw_tiles(_in_grid(x, int(len(x) ** 0.5)), self.look)
        return drawn

    def distances(self, groups: Sequence[Group]) -> dict[str, Drawn]:
        """Draw the distances of samples, and of test rows, to the nearest training row."""
        by_place = {(g.label, g.dim3): g for g in groups}
        curves = []
        for one in (g for g in self.answers.generators if g.main and (g.label, g.dim3) in by_place):
            group = by_place[one.label, one.dim3]
            found = self.shelf.one(group.cells[0], sample_artifact(one.source, "nearest_mse"))
            if found is not None:
                curves.append((one.name, group.series.model, found))
        real = self.shelf.one(groups[0].cells[0], sample_artifact(Source.REAL, "nearest_mse")) if groups else None
        return {f"distances {groups[0].dim3}": draw_distances(curves, real)} if curves else {}

    def robustness(self) -> dict[str, Drawn]:
        """Draw the error of decoding pushed codes, a panel for each dim3."""
        panels: dict[int, list[tuple[str, str, _Array]]] = {}
        for one in self.answers.robust:
            curve = np.array([one.lengths, one.errors, one.standard_errors]).T
            panels.setdefault(one.dim3, []).append((one.label, one.model, curve))
        return {"robustness": draw_robustness(list(panels.items()))} if panels else {}

    def kl(self) -> dict[str, Drawn]:
        """Draw the KL of each latent, of the first run of each model and dim3."""
        bars = [(f"{h.label}, dim3 = {h.dim3}", np.array(h.kl_by_dim[0])) for h in self.answers.health]
        return {"kl": draw_kl(bars)} if bars else {}

    def _drawn(self, codes: _Array, of: _Array, width: float = NARROW, **more: Any) -> Codes:
        """The codes on their plane, of codes `of`."""
        names = AXES if of.shape[1] <= 2 else ("principal axis 1", "principal axis 2")
        labels = self.labels if self.labels is not None and len(self.labels) == len(codes) else None
        return draw_codes(codes, labels, self.answers.classes, names, width=width, **more)


def _in_grid(x: _Array, columns: int) -> _Array:
    """Return rows (n, dim1) in whole rows of so many pictures, or one row of fewer: (rows, columns, dim1)."""
    columns = min(columns, len(x))
    rows = len(x) // columns
    return x[: rows * columns].reshape(rows, columns, -1)


def _fitting(x: _Array, ticks: _Array) -> _Array:
    """Return the ticks of a plane. Raises ValueError where they are not one for each of its pictures."""
    if ticks.shape != ((2, x.shape[1]) if len(x) == x.shape[1] else (1, x.shape[1])):
        raise ValueError(f"ticks of shape {ticks.shape} for pictures of shape {x.shape}")
    return ticks
