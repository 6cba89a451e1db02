"""The figures of the assignment's page from the arrays of measured runs: `figures_of(groups, answers, shelf)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from sklearn.utils import Bunch

from elbowroom.tracking.drawing import Look, latent_plane
from elbowroom.tracking.store.errors import one_line
from elbowroom.tracking.store.names import Artifact, Source, sample_artifact

from ..latent_space.answers import Answers, Group, Shelf
from ..latent_space.similarity import reshaped_onto
from .latent_space import (
    AXES,
    Cloud,
    Decoded,
    draw_distances,
    draw_draws,
    draw_interpolations,
    draw_kl,
    draw_planes,
    draw_quality,
    draw_repeats,
    draw_robustness,
    draw_samples,
)

_Array = npt.NDArray[Any]


def figures_of(groups: Sequence[Group], answers: Answers, shelf: Shelf) -> dict[str, Figure]:
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
    labels = shelf.labels([c for g in groups for c in g.cells])
    classes = () if labels is None else tuple(str(i) for i in range(int(labels.max()) + 1))
    page = _Page(answers, shelf, labels, classes, _look(groups, shelf))
    here = [g for g in groups if g.dim3 == answers.shown[0]]
    makers: dict[str, Callable[[], Figure | None]] = {f"repeats {g.label}": partial(page.repeats, g) for g in here}
    makers |= {"planes": partial(page.planes, here), "posterior": partial(page.posterior, here)}
    makers |= {f"draws {g.label} {g.dim3}": partial(page.draws, g) for g in groups if g.has_posterior}
    for dim3 in answers.shown:
        mine = [g for g in groups if g.dim3 == dim3]
        makers |= {
            f"samples {dim3}": partial(page.samples, mine),
            f"distances {dim3}": partial(page.distances, mine),
            f"quality {dim3}": partial(page.quality, mine),
            f"interpolations {dim3}": partial(page.interpolations, mine),
        }
    makers |= {"robustness": page.robustness, "kl": page.kl}
    figures = {}
    for name, make in makers.items():
        try:
            figure = make()
        except (ValueError, IndexError) as error:
            shelf.notes.append(f"figure {name}: the arrays do not fit it: {one_line(error, 200)}")
            continue
        if figure is not None:
            figures[name] = figure
    return figures


def _look(groups: Sequence[Group], shelf: Shelf) -> Look:
    """Return how rows are drawn: their shape by the runs, their range by the example rows."""
    cell = groups[0].cells[0]
    examples = shelf.one(cell, Artifact.ORIGINALS)
    low, high = (0.0, 1.0) if examples is None else (float(examples.min()), float(examples.max()))
    return Look(cell.image_shape) if low >= 0 and high <= 1 else Look(cell.image_shape, low, high)


class _Page(NamedTuple):
    """Draws the figures of the page; each method returns one, or None where its arrays are missing."""

    answers: Answers
    shelf: Shelf
    labels: _Array | None
    classes: tuple[str, ...]
    look: Look

    def repeats(self, group: Group) -> Figure | None:
        """Draw the codes of several runs, as they came and aligned to the first."""
        names = [f"seed {c.seed}" for c in group.cells]
        found = self.shelf.take(group.cells, Artifact.CODES)
        if group.is_pca:
            names = ["scikit-learn", "another exact program"]
            found = [found[0], self.shelf.one(group.cells[0], Artifact.CODES_REFIT)]
        known = {name: codes for name, codes in zip(names, found, strict=True) if codes is not None}
        if len(known) < 2 or len({len(codes) for codes in known.values()}) > 1:
            return None
        reference, *others = known.values()
        came = [Cloud(name, codes @ latent_plane(codes).axes.T) for name, codes in known.items()]
        onto = [reference, *(reshaped_onto(codes, reference) for codes in others)]
        plane = latent_plane(reference).axes  # one for all: a plane for each would undo the alignment
        aligned = [Cloud(name, codes @ plane.T) for name, codes in zip(known, onto, strict=True)]
        return draw_repeats(came, aligned, self._labels_of(reference), self.classes, _axes(reference))

    def planes(self, groups: Sequence[Group]) -> Figure | None:
        """Draw codes and decoded plane of each model, side by side."""
        clouds, decoded, names = [], [], AXES
        for group in groups:
            cell = group.cells[0]
            codes, x = self.shelf.one(cell, Artifact.CODES), self.shelf.one(cell, Artifact.PLANE)
            ticks = self.shelf.one(cell, Artifact.PLANE_TICKS)
            if codes is not None and x is not None and ticks is not None:
                clouds.append(Cloud(f"{group.label}, dim3 = {group.dim3}", codes @ latent_plane(codes).axes.T))
                decoded.append(Decoded(clouds[-1].title, x, ticks))
                names = _axes(codes)
        if not clouds:
            return None
        return draw_planes(clouds, decoded, self._labels_of(clouds[0].codes), self.classes, self.look, names)

    def posterior(self, groups: Sequence[Group]) -> Figure | None:
        """Draw the codes of the first model with a posterior: means beside draws."""
        for group in groups:
            if not group.has_posterior:
                continue
            means, drawn = (self.shelf.one(group.cells[0], a) for a in (Artifact.CODES, Artifact.CODES_SAMPLED))
            if means is not None and drawn is not None and means.shape == drawn.shape:
                plane = latent_plane(means).axes
                sets = {"means": means, "draws": drawn}
                clouds = [Cloud(f"{group.label}: {of}", codes @ plane.T) for of, codes in sets.items()]
                return draw_planes(clouds, [], self._labels_of(means), self.classes, self.look, _axes(means))
        return None

    def draws(self, group: Group) -> Figure | None:
        """Draw samples of one seed, of another, and of the first again."""
        drawn = self.shelf.one(group.cells[0], Artifact.DRAWS)
        return None if drawn is None else draw_draws(drawn, look=self.look)

    def samples(self, groups: Sequence[Group]) -> Figure | None:
        """Draw samples of each generator over their nearest training rows."""
        bands = []
        for one, group in self._main(groups):
            rows = self.shelf.one(group.cells[0], sample_artifact(one.source))
            near = self.shelf.one(group.cells[0], sample_artifact(one.source, "nearest"))
            if rows is not None and near is not None:
                bands.append((one.name, rows, near))
        return draw_samples(bands, self.look) if bands else None

    def distances(self, groups: Sequence[Group]) -> Figure | None:
        """Draw the distances of samples, and of test rows, to the nearest training row."""
        curves = []
        for one, group in self._main(groups):
            found = self.shelf.one(group.cells[0], sample_artifact(one.source, "nearest_mse"))
            if found is not None:
                curves.append((one.name, group.series.model, found))
        real = self.shelf.one(groups[0].cells[0], sample_artifact(Source.REAL, "nearest_mse")) if groups else None
        return draw_distances(curves, real) if curves else None

    def quality(self, groups: Sequence[Group]) -> Figure | None:
        """Draw precision and recall of each generator, of real rows and of the mean row."""
        points = [
            (one.name, group.series.model, *place) for one, group in self._main(groups) if (place := _quality(one))
        ]
        ceiling, floor = map(_quality, self.answers.controls)
        return draw_quality(points, ceiling, floor) if points else None

    def interpolations(self, groups: Sequence[Group]) -> Figure | None:
        """Draw rows decoded along straight lines between codes."""
        paths = [(g.label, self.shelf.one(g.cells[0], Artifact.INTERPOLATIONS)) for g in groups]
        known = [(label, a) for label, a in paths if a is not None]
        return draw_interpolations(known, self.look) if known else None

    def robustness(self) -> Figure | None:
        """Draw the error of decoding pushed codes, a panel for each dim3."""
        panels: dict[int, list[tuple[str, str, _Array]]] = {}
        for one in self.answers.robust:
            curve = np.array([one.lengths, one.errors, one.standard_errors]).T
            panels.setdefault(one.dim3, []).append((one.label, one.model, curve))
        return draw_robustness(list(panels.items())) if panels else None

    def kl(self) -> Figure | None:
        """Draw the KL of each latent, of the first run of each model and dim3."""
        bars = [(f"{h.label}, dim3 = {h.dim3}", np.array(h.kl_by_dim[0])) for h in self.answers.health]
        return draw_kl(bars) if bars else None

    def _main(self, groups: Sequence[Group]) -> list[tuple[Bunch, Group]]:
        """Return the main generators at the dim3 of these groups, each with its group."""
        by_place = {(g.label, g.dim3): g for g in groups}
        main = [(g, by_place.get((g.label, g.dim3))) for g in self.answers.generators if g.main]
        return [(one, group) for one, group in main if group is not None]

    def _labels_of(self, codes: _Array) -> _Array | None:
        return self.labels if self.labels is not None and len(self.labels) == len(codes) else None


def _quality(generator: Bunch) -> tuple[float, float] | None:
    if generator.precision is None or generator.recall is None:
        return None
    return generator.precision.mean, generator.recall.mean


def _axes(codes: _Array) -> tuple[str, str]:
    """Return the names of the axes of a latent plane."""
    return AXES if codes.shape[1] <= 2 else ("principal axis 1", "principal axis 2")
