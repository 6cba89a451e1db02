"""The figures of the assignment's page from the arrays of measured runs: `figures_of(groups, answers, shelf)`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from elbowroom.tracking.drawing import Look, latent_plane
from elbowroom.tracking.store.errors import one_line
from elbowroom.tracking.store.names import Artifact, Source, sample_artifact

from ..latent_space.answers import Answers, Generator
from ..latent_space.measured import Group, Shelf
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

_MOST_SIDE = 64  # cells along a side of a decoded grid
Array = npt.NDArray[Any]
_Maker = Callable[[], Figure | None]


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
    makers: dict[str, _Maker] = {}
    look = _look(groups, shelf)
    labels = shelf.labels([c for g in groups for c in g.cells])
    classes = () if labels is None else tuple(str(i) for i in range(int(labels.max()) + 1))
    here = [g for g in groups if g.dim3 == answers.shown[0]]
    makers |= {f"repeats {g.label}": partial(_repeats, g, labels, classes, shelf) for g in here}
    makers["planes"] = lambda: _planes(here, labels, classes, look, shelf)
    makers["posterior"] = lambda: _posterior(here, labels, classes, look, shelf)
    makers |= {f"draws {g.label} {g.dim3}": partial(_draws, g, look, shelf) for g in groups if g.has_posterior}
    for dim3 in answers.shown:
        mine = [g for g in groups if g.dim3 == dim3]
        makers |= {
            f"samples {dim3}": partial(_samples, mine, answers, look, shelf),
            f"distances {dim3}": partial(_distances, mine, answers, shelf),
            f"quality {dim3}": partial(_quality, mine, answers),
            f"interpolations {dim3}": partial(_interpolations, mine, look, shelf),
        }
    makers |= {"robustness": lambda: _robustness(answers), "kl": lambda: _kl(answers)}
    made = {name: _made(name, make, shelf) for name, make in makers.items()}
    return {name: figure for name, figure in made.items() if figure is not None}


def _made(name: str, make: _Maker, shelf: Shelf) -> Figure | None:
    """Return a figure; None with a note where the arrays of the store don't fit each other."""
    try:
        return make()
    except (ValueError, IndexError) as error:
        shelf.notes.append(f"figure {name}: the arrays do not fit it: {one_line(error, 200)}")
        return None


def _draws(group: Group, look: Look, shelf: Shelf) -> Figure | None:
    drawn = shelf.one(group.cells[0], Artifact.DRAWS, 3, _MOST_SIDE)
    return None if drawn is None else draw_draws(drawn, look=look)


def _main(groups: Sequence[Group], answers: Answers) -> list[tuple[Generator, Group]]:
    """Return the main generators at the dim3 of these groups, each with its group."""
    by_place: dict[tuple[str, int | None], Group] = {(g.label, g.dim3): g for g in groups}
    return [(g, by_place[g.label, g.dim3]) for g in answers.generators if g.main and (g.label, g.dim3) in by_place]


def _samples(groups: Sequence[Group], answers: Answers, look: Look, shelf: Shelf) -> Figure | None:
    """Draw samples of each generator over their nearest training rows."""
    bands = []
    for one, group in _main(groups, answers):
        source, cell = Source(one.source), group.cells[0]
        rows, near = (shelf.one(cell, sample_artifact(source, kind), 2) for kind in ("samples", "nearest"))
        bands += [] if rows is None or near is None else [(one.name, rows, near)]
    return draw_samples(bands, look) if bands else None


def _distances(groups: Sequence[Group], answers: Answers, shelf: Shelf) -> Figure | None:
    """Draw the distances of samples, and of test rows, to the nearest training row."""
    found = [
        (one.name, group.series.model, shelf.one(group.cells[0], sample_artifact(Source(one.source), "nearest_mse"), 1))
        for one, group in _main(groups, answers)
    ]
    curves = [(name, model, distances) for name, model, distances in found if distances is not None]
    real = shelf.one(groups[0].cells[0], sample_artifact(Source.REAL, "nearest_mse"), 1) if groups else None
    return draw_distances(curves, real) if curves else None


def _quality(groups: Sequence[Group], answers: Answers) -> Figure | None:
    """Draw precision and recall of each generator, of real rows and of the mean row."""
    points = [
        (one.name, group.series.model, one.precision.mean, one.recall.mean)
        for one, group in _main(groups, answers)
        if one.precision is not None and one.recall is not None
    ]
    ceiling, floor = (
        (c.precision.mean, c.recall.mean) if c.precision is not None and c.recall is not None else None
        for c in answers.controls
    )
    return draw_quality(points, ceiling, floor) if points else None


def _interpolations(groups: Sequence[Group], look: Look, shelf: Shelf) -> Figure | None:
    paths = [(g.label, shelf.one(g.cells[0], Artifact.INTERPOLATIONS, 3, _MOST_SIDE)) for g in groups]
    films = [(label, a) for label, a in paths if a is not None]
    return draw_interpolations(films, look) if films else None


def _robustness(answers: Answers) -> Figure | None:
    """Draw the error of decoding pushed codes, a panel for each dim3."""
    panels: dict[int, list[tuple[str, str, Array]]] = {}
    for one in answers.robust:
        curve = np.array([one.lengths, one.errors, one.standard_errors]).T
        panels.setdefault(one.dim3, []).append((one.label, one.model, curve))
    return draw_robustness(list(panels.items())) if panels else None


def _kl(answers: Answers) -> Figure | None:
    """Draw the KL of each latent, of the first run of each model and dim3."""
    bars = [(f"{h.label}, dim3 = {h.dim3}", np.array(h.kl_by_dim[0])) for h in answers.health]
    return draw_kl(bars) if bars else None


def _look(groups: Sequence[Group], shelf: Shelf) -> Look:
    """Return how rows are drawn: their shape by the runs, their range by the example rows."""
    cell = groups[0].cells[0]
    shape = cell.image_shape
    examples = shelf.one(cell, Artifact.ORIGINALS, 2)
    low, high = (0.0, 1.0) if examples is None else (float(examples.min()), float(examples.max()))
    return Look(shape) if low >= 0 and high <= 1 else Look(shape, low, high)


def _names(codes: Array) -> tuple[str, str]:
    """Return the names of the axes of a latent plane."""
    return AXES if codes.shape[1] <= 2 else ("principal axis 1", "principal axis 2")


def _repeats(group: Group, labels: Array | None, classes: tuple[str, ...], shelf: Shelf) -> Figure | None:
    """Draw the codes of several runs, as they came and aligned to the first."""
    runs = [(f"seed {c.seed}", shelf.one(c, Artifact.CODES, 2)) for c in group.cells]
    if group.is_pca:
        other = shelf.one(group.cells[0], Artifact.CODES_REFIT, 2)
        runs = [("scikit-learn", runs[0][1]), ("another exact program", other)]
    known = [(name, codes) for name, codes in runs if codes is not None]
    if len(known) < 2 or len({len(codes) for _, codes in known}) > 1:
        return None
    reference = known[0][1]
    came = [Cloud(name, codes @ latent_plane(codes).axes.T) for name, codes in known]
    onto = [reference, *(reshaped_onto(codes, reference) for _, codes in known[1:])]
    plane = latent_plane(reference).axes  # one for all: a plane for each would undo the alignment
    aligned = [Cloud(name, codes @ plane.T) for (name, _), codes in zip(known, onto, strict=True)]
    return draw_repeats(came, aligned, _fitting(labels, reference), classes, _names(reference))


def _fitting(labels: Array | None, codes: Array) -> Array | None:
    return labels if labels is not None and len(labels) == len(codes) else None


def _planes(
    groups: Sequence[Group], labels: Array | None, classes: tuple[str, ...], look: Look, shelf: Shelf
) -> Figure | None:
    """Draw codes and decoded plane of each model, side by side."""
    clouds, decoded, names = [], [], AXES
    for group in groups:
        cell = group.cells[0]
        codes, x = shelf.one(cell, Artifact.CODES, 2), shelf.one(cell, Artifact.PLANE, 3, _MOST_SIDE)
        ticks = shelf.one(cell, Artifact.PLANE_TICKS, 2, _MOST_SIDE)
        if codes is not None and x is not None and ticks is not None:
            clouds.append(Cloud(f"{group.label}, dim3 = {group.dim3}", codes @ latent_plane(codes).axes.T))
            decoded.append(Decoded(clouds[-1].title, x, ticks))
            names = _names(codes)
    return draw_planes(clouds, decoded, _fitting(labels, clouds[0].codes), classes, look, names) if clouds else None


def _posterior(
    groups: Sequence[Group], labels: Array | None, classes: tuple[str, ...], look: Look, shelf: Shelf
) -> Figure | None:
    """Draw the codes of a model with a posterior: means beside draws."""
    for group in groups:
        if not group.has_posterior:
            continue
        means, drawn = (shelf.one(group.cells[0], a, 2) for a in (Artifact.CODES, Artifact.CODES_SAMPLED))
        if means is not None and drawn is not None and means.shape == drawn.shape:
            plane = latent_plane(means).axes
            sets = {"means": means, "draws": drawn}
            clouds = [Cloud(f"{group.label}: {of}", codes @ plane.T) for of, codes in sets.items()]
            return draw_planes(clouds, [], _fitting(labels, means), classes, look, _names(means))
    return None
