# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # An autoencoder with two latents, and PCA
#
# Tasks 1 and 2 of the assignment on real MNIST, and a first look at task 3. Everything is done by the packages of
# this checkout; the notebook trains, draws and says what is to be seen.
#
# **This is a small setting**: five epochs, so that the whole notebook takes about a minute or two on two cores. The
# numbers to quote come from `make assignment` and `python -m studies.assignment --full`.

# %%
import os
import sys
import warnings
from pathlib import Path

ROOT = next(folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "MLproject").exists())
os.chdir(ROOT)
sys.path.insert(0, str(ROOT))
STORE = {"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db", "MLFLOW_EXPERIMENT_NAME": "notebooks"}
QUIET = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
os.environ.update(STORE | QUIET | os.environ)  # what is set already stays
warnings.filterwarnings("ignore", message="IProgress not found")  # a progress bar that needs ipywidgets

# %%
import inspect
import io
from dataclasses import replace

import numpy as np
from IPython.display import Image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as pillow

from elbowroom.analysis.figures.curves import Pictures, draw_pictures
from elbowroom.analysis.figures.latent_space import Cloud, Decoded, draw_planes, draw_repeats
from elbowroom.analysis.latent_space.similarity import (
    affine_disparity,
    disparity,
    linear_cka,
    neighbour_accuracy,
    neighbour_overlap,
    neighbours,
    rigid_onto,
)
from elbowroom.models import PCA, Reducer
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.models.neural.autoencoder import Autoencoder
from elbowroom.models.neural.layers import FF
from elbowroom.models.pca import errors_by_dim3
from elbowroom.tracking.cli import be_quiet
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.drawing import Look
from elbowroom.tracking.logged_model import load_reducer
from elbowroom.tracking.run import execute
from elbowroom.tracking.run.figures import decoded_plane

be_quiet()
BASE = RunConfig(model="ae", dataset="mnist", dim3=2, epochs=5)


def show(figure: Figure) -> Image:
    """The figure as a PNG of 256 colours, which keeps this file small."""
    canvas, file = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    drawn = pillow.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    drawn.quantize(256, kmeans=1, dither=pillow.Dither.NONE).save(file, "PNG", optimize=True)
    return Image(file.getvalue(), width=int(100 * figure.get_figwidth()))


# %% [markdown]
# ## The data
#
# Images of 28 × 28 grey pixels in [0, 1], a row of 784 numbers each. Some of the training images are set aside for
# validation; PCA and autoencoder learn from the same rest, and both are judged on the test images.

# %%
prepared_data = PreparedData.load(BASE)
data, x_train = prepared_data.data, prepared_data.split.x_train
x_test, labels = data.x_test, data.y_test
LOOK = Look(data.image_shape)
mean_image = x_train.mean(axis=0, dtype=np.float64).astype(np.float32)
mean_mse = reconstruction_mse(x_test, np.broadcast_to(mean_image, x_test.shape))
print(f"{len(x_train):,} images to learn from, {len(prepared_data.split.x_val):,} to validate, {len(x_test):,} to test")
print(f"to answer every test image by the mean training image: {mean_mse:.4f} mean squared error per pixel")

# %% [markdown]
# ## The model
#
# The assignment's `FF` and `Autoencoder`: here is the first, in `models/neural/layers.py`, and what the second is made
# of, in `models/neural/autoencoder.py`. The decoder's sigmoid is put behind it by the training loop
# (`models/neural/training.py`).

# %%
print(inspect.getsource(FF), inspect.getsource(Autoencoder.architecture), sep="\n")

# %% [markdown]
# ## Task 1: three runs
#
# The runs differ in `seed` alone: from it come the first weights and the order of the images. Each is recorded, and
# `make ui` shows them in the experiment `notebooks`; from there the trained models are read back.


# %%
def train(config: RunConfig) -> tuple[Reducer, dict[str, float]]:
    """The model of a recorded run, loaded from the store, and the run's metrics."""
    result = execute(config, prepared_data=prepared_data)
    return load_reducer(result.run_id), dict(result.metrics)


SEEDS = (0, 1, 2)
runs = [train(replace(BASE, seed=seed)) for seed in SEEDS]
models = [model for model, _ in runs]
codes = [model.encode(x_test) for model in models]
for seed, (_, metrics) in zip(SEEDS, runs, strict=True):
    print(f"seed {seed}: test error {metrics['test/mse']:.4f}")

# %% [markdown]
# The two plots of the assignment's Figure 2, for each run: the codes of 3,000 test images, and below them the images
# decoded from a grid over the region that the middle 95 % of the codes fill along each axis.


# %%
def plane(title: str, model: Reducer, z: np.ndarray) -> tuple[Cloud, Decoded]:
    """Both plots of one model: its codes z (N, 2), and what it decodes from a grid over them."""
    grid = decoded_plane(model, z, 15)
    return Cloud(title, z), Decoded(title, grid.x, grid.ticks)


def planes(pairs: list[tuple[Cloud, Decoded]]) -> Figure:
    """The plots of several models beside each other."""
    return draw_planes([cloud for cloud, _ in pairs], [grid for _, grid in pairs], labels, data.classes, LOOK)


show(planes([plane(f"autoencoder, seed {s}", m, z) for s, m, z in zip(SEEDS, models, codes, strict=True)]))

# %% [markdown]
# The errors above are nearly the same, the pictures are not. Each run puts the classes elsewhere, in another order
# and at another scale; the axes of a latent space mean nothing by themselves. What recurs is that each class has a
# region of its own, more or less, and that decoded images change gradually from one to the next.
#
# How much of the difference is only how the plane lies? A decoder can undo a rotation, a reflection, a shift and a
# scale of its codes without any loss, so two runs that differ by these have found the same. Below, the second row
# shows the codes after the rotation, reflection, shift and scale that bring them nearest to seed 0 (Procrustes).

# %%
came = [Cloud(f"seed {seed}", z) for seed, z in zip(SEEDS, codes, strict=True)]
aligned = [Cloud(f"seed {seed}", rigid_onto(z, codes[0])) for seed, z in zip(SEEDS, codes, strict=True)]
show(draw_repeats(came, aligned, labels, data.classes))


# %%
def compare(name: str, a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Print how far two sets of codes of the same rows agree."""
    shared = neighbour_overlap(neighbours(a), neighbours(b))
    found = {"rigid": disparity(a, b), "affine": affine_disparity(a, b), "cka": linear_cka(a, b), "shared": shared}
    print(f"{name:<30}" + "".join(f"{value:>12.3f}" for value in found.values()))
    return found


turn = np.array([[0.8, -0.6], [0.6, 0.8]])
shuffled = codes[0][np.random.default_rng(0).permutation(len(x_test))]
print(f"{'':<30}" + "".join(f"{name:>12}" for name in ("Procrustes", "affine", "CKA", "shared")))
pairs = [compare(f"seed {a} and seed {b}", codes[a], codes[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
compare("seed 0 and itself, turned", codes[0], codes[0] @ turn + 1)
chance = compare("seed 0 and itself, shuffled", codes[0], shuffled)
print()
for seed, z in zip(SEEDS, codes, strict=True):
    accuracy = neighbour_accuracy(neighbours(z), labels).mean()
    print(f"seed {seed}: the majority of the 10 nearest codes has the right class for {100 * accuracy:.1f} %")

# %% [markdown]
# - **Procrustes**: the share of the variance that no rotation, reflection, shift and one scale explains. 0: the same.
# - **affine**: what is left when every affine map is allowed, stretching and shearing as well.
# - **CKA**: agreement of the codes' similarities, 1 at best; it looks past what Procrustes looks past.
# - **shared**: the share of each image's 10 nearest neighbours that it has in both; it looks past curved maps, too.
#
# The last two rows are the ends of the scale: the same plane turned, and no relation at all. The seeds lie between
# them. After the best rigid and even the best affine map a good part of the variance is left, so the runs are *not*
# the same plane in other positions; and most neighbours change, though far more are shared than by chance. All the
# same, the nearest codes tell the digit about equally well in each run: many different planes are about equally good,
# and the seed decides which of them comes out.

# %% [markdown]
# ## Task 2: PCA
#
# Equation (1) encodes, equation (2) generates, and **alpha is not the same in both**. In (1),
# alpha_i = (x − mu) · v_i is a score in the data's units, whose variance over the training images is lambda_i. In
# (2), alpha_i is multiplied by sqrt(lambda_i), so there it has to be a score of variance 1: that of (1) divided by
# sqrt(lambda_i). (The sum in (2), from i = 0 to K, has K + 1 terms: dim3 = K + 1.)

# %%
pca = PCA(dim3=2).fit(x_train)
mu, v, lambdas = pca.mean, pca.components, pca.spectrum[:2]  # (784,), (2, 784), (2,)
scores = (x_test - mu) @ v.T  # equation (1)
rows = {
    "the mean image": np.broadcast_to(mu, x_test.shape),
    "(2) with alpha of (1) as it is": mu + (scores * np.sqrt(lambdas)) @ v,
    "(2) with alpha of (1) / sqrt(lambda)": mu + (scores / np.sqrt(lambdas) * np.sqrt(lambdas)) @ v,
    "PCA's own reconstruction": pca.reconstruct(x_test),
}
errors = {name: reconstruction_mse(x_test, x.astype(np.float32)) for name, x in rows.items()}
print("variance of alpha of (1) over the training images:", pca.encode(x_train).var(axis=0, dtype=np.float64).round(3))
print("lambda:                                           ", lambdas.round(3))
for name, error in errors.items():
    print(f"{name:<40}{error:.4f}")
pca_mse, confused_mse = errors["PCA's own reconstruction"], errors["(2) with alpha of (1) as it is"]

# %% [markdown]
# Confusing the two alphas gives images that are worse than the mean image for everything, which needs no code at
# all. Used rightly, (2) undoes (1) as well as two components can. To *generate* an image, choose alpha in (2) as
# numbers of standard deviations.
#
# **Will the result change if PCA runs twice?** Four fits to the same images, compared by the largest principal angle
# between the planes they span (0 degrees: the same plane):

# %%
fits = pca.extra_diagnostics(x_train, x_test)
print(f"the same exact program again:                    {fits.numbers['again_degrees']:.6f} degrees")
print(f"another exact program, rows in another order:    {fits.numbers['other_degrees']:.6f} degrees")
print(f"of its 2 axes, those that point the other way:   {fits.numbers['flipped']:.0f}")
print(f"the randomized solver with two seeds:            {fits.numbers['randomized_degrees']:.6f} degrees")
print(f"the solver scikit-learn chooses for these rows:  {fits.texts['auto_solver']}")
print(f"\n{'':<30}" + "".join(f"{name:>12}" for name in ("Procrustes", "affine", "CKA", "shared")))
again = compare("PCA and the other program", scores, fits.arrays["other_codes"])

# %% [markdown]
# An exact PCA is the same each time, to rounding. What may change between programs is the sign of an axis, a mirror
# image that no measure in the table minds. A randomized solver does depend on its seed, if by little here; as
# scikit-learn may choose it by the size of the data, `models/pca.py` names the exact one. That is the first difference
# to the autoencoder, whose three runs were three results.
#
# **The same two plots**: PCA's images are from equation (2), alpha from −2.5 to 2.5 standard deviations.

# %%
show(planes([plane("PCA", pca, scores), plane("autoencoder, seed 0", models[0], codes[0])]))

# %%
shown = [("PCA", pca.reconstruct(x_test[:10])), ("autoencoder", models[0].reconstruct(x_test[:10]))]
show(draw_pictures(Pictures(2, data.image_shape, x_test[:10], shown)))

# %%
for name, z, error in (("PCA", scores, pca_mse), ("autoencoder", codes[0], runs[0][1]["test/mse"])):
    accuracy = neighbour_accuracy(neighbours(z), labels).mean()
    print(f"{name:<12} test error {error:.4f}; the 10 nearest codes tell the class of {100 * accuracy:.1f} %")
print(f"numbers that were fitted: PCA {pca.parameter_count():,}, autoencoder {models[0].parameter_count():,}")

# %% [markdown]
# With as many latents the autoencoder errs less, and its plane tells more digits apart: most of PCA's classes lie over
# each other. PCA's images are the mean plus two fixed patterns, each times a number: they can't but change linearly,
# most of them are blends of digits, and they look much alike. The autoencoder's decoder is not linear, and more kinds
# of digits come up on its grid. What PCA has for it: far fewer numbers to fit, no training, the same answer each time,
# and axes in the order of the variance that they explain.

# %% [markdown]
# ## Task 3, a first look: how many components is the autoencoder worth?
#
# One fit of PCA knows the error of every dim3. Of the autoencoder there are the three runs above, and one more with
# ten latents. An autoencoder's sigmoid can't leave [0, 1] and PCA can, so PCA's output is also judged cut off there.

# %%
_, ten = train(replace(BASE, dim3=10))
curve = errors_by_dim3(x_train, x_test)  # (K + 1, 2): raw, clipped


def worth(error: float) -> tuple[int, int]:
    """The fewest components by which PCA errs no more than this, raw and clipped."""
    raw, clipped = ((curve <= error).argmax(axis=0)).tolist()
    return raw, clipped


def draw_curve() -> Figure:
    """PCA's error against dim3, and where the autoencoders lie."""
    figure = Figure(figsize=(7, 3.6), dpi=100, layout="constrained")
    axes = figure.subplots()
    dim3 = np.arange(2, 31)
    axes.plot(dim3, curve[dim3, 0], "s-", ms=3, color="#0072b2", label="PCA")
    axes.plot(dim3, curve[dim3, 1], "--", color="#0072b2", label="PCA, output clipped to [0, 1]")
    axes.plot([2] * 3, [m["test/mse"] for _, m in runs], "o", color="#d55e00", label="autoencoder")
    axes.plot([10], [ten["test/mse"]], "o", color="#d55e00")
    for at, error in ((2, runs[0][1]["test/mse"]), (10, ten["test/mse"])):
        axes.hlines(error, at, min(worth(error)[0], 30), color="#d55e00", lw=0.8, ls=":")
    axes.set(xlabel="dim3: latents, or components", ylabel="test error per pixel", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


for dim3, error in ((2, runs[0][1]["test/mse"]), (10, ten["test/mse"])):
    raw, clipped = worth(error)
    print(f"autoencoder, dim3 = {dim3}: {error:.4f}; to err no more PCA needs {raw} components, clipped {clipped}")
show(draw_curve())

# %% [markdown]
# Each latent of the autoencoder is worth more than one component. PCA's curve falls without any corner that could be
# seen: its smallest error is at the end of whatever range is drawn, so the least error chooses nothing.
#
# Two dim3 of one model are no curve. `make scan` trains the whole range and `make report` says whether the curves
# have an elbow and which dim3 to use ([docs/elbow.md](../docs/elbow.md)); `make assignment` answers all four tasks
# from recorded runs.

# %%
ae_mse = max(metrics["test/mse"] for _, metrics in runs)
for name, value in {
    "mean_mse": mean_mse,
    "confused_mse": confused_mse,
    "pca_mse": pca_mse,
    "worst_ae_mse": ae_mse,
    "ae_dim3_10_mse": ten["test/mse"],
    "worth_of_ae_2": worth(ae_mse)[0],
    "worth_of_ae_10": worth(ten["test/mse"])[0],
    "least_affine_between_seeds": min(pair["affine"] for pair in pairs),
    "least_shared_between_seeds": min(pair["shared"] for pair in pairs),
    "shared_by_chance": chance["shared"],
    "pca_again_degrees": round(fits.numbers["again_degrees"], 6),
    "pca_other_disparity": round(again["rigid"], 6),
}.items():
    print(f"{name:<28}{value:.6g}")
