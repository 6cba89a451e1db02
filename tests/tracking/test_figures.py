"""Every figure on every model, drawn and labelled."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from models import MODELS, Epoch, build
from tests.models.test_contract import SETTINGS
from tracking.datasets import load_dataset
from tracking.figures import FIGURES, Look, RunView, latent_plane, plot_generated_samples

DIGITS = load_dataset("digits")


def view(model: str, dim3: int, labelled: bool = True, image: bool = True) -> RunView:
    epochs: list[Epoch] = []
    fitted = build(model, SETTINGS | {"dim1": 64, "dim3": dim3})
    fitted.fit(DIGITS.x_train, x_val=DIGITS.x_test, on_epoch=epochs.append)
    few = DIGITS.x_test[:16]
    return RunView(
        title=f"{model}-d{dim3}-s0",
        model=fitted,
        epochs=tuple(epochs),
        codes=fitted.encode(DIGITS.x_test),
        labels=DIGITS.y_test if labelled else None,
        classes=DIGITS.classes if labelled else (),
        originals=few,
        reconstructions=fitted.reconstruct(few),
        look=Look((8, 8) if image else None),
    )


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("dim3", [1, 2, 5])
@pytest.mark.parametrize(("labelled", "image"), [(True, True), (False, False)])
def test_every_figure_draws_or_says_it_has_nothing_to_show(model: str, dim3: int, labelled: bool, image: bool) -> None:
    drawn = {name: plot(view(model, dim3, labelled, image)) for name, plot in FIGURES.items()}
    nothing = {name for name, figure in drawn.items() if figure is None}
    assert nothing == ({"losses"} if model == "pca" else {"spectrum"})
    for figure in drawn.values():
        if figure is not None:
            figure.canvas.draw()
            title = figure.get_suptitle() or figure.axes[0].get_title()
            assert title.startswith(f"{model}-d{dim3}-s0")


def test_the_scatter_says_what_its_axes_and_colours_are() -> None:
    (axes,) = FIGURES["latent_scatter"](view("pca", 2)).axes
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("$z_1$", "$z_2$")
    assert [t.get_text() for t in axes.get_legend().get_texts()] == list("0123456789")
    (deep,) = FIGURES["latent_scatter"](view("ae", 5)).axes
    assert deep.get_xlabel() == "principal axis 1 of the 5-dimensional codes"


def test_the_plane_of_pcas_codes_is_pcas_own() -> None:
    codes = view("pca", 5).model.encode(DIGITS.x_train)
    plane = latent_plane(codes)
    assert np.allclose(plane.axes, np.eye(5)[:2], atol=1e-3)
    assert np.allclose(plane.scores(plane.codes(plane.scores(codes))), plane.scores(codes), atol=1e-4)
    assert np.array_equal(latent_plane(codes[:, :2]).axes, np.eye(2))


def test_samples_differ_with_the_seed_and_repeat_with_it() -> None:
    model = view("vae", 2).model
    first, other, again = (pixels(plot_generated_samples(model, 9, np.random.default_rng(s))) for s in (1, 2, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    with pytest.raises(ValueError, match="n must be at least 1"):
        plot_generated_samples(model, 0, np.random.default_rng(0))


def test_the_vae_is_decoded_at_quantiles_of_its_prior() -> None:
    ticks = view("vae", 2).model.axis_ticks(np.zeros(3, np.float32), 3)
    assert np.allclose(ticks, [-0.9674, 0, 0.9674], atol=1e-4)  # the normal quantiles of 1/6, 1/2 and 5/6
