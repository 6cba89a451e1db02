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
# # A variational autoencoder with two latents
#
# Task 4 of the assignment on real MNIST: train a VAE, sample from it, and compare it with the autoencoder of
# [autoencoders.ipynb](autoencoders.ipynb).
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
from IPython.display import Image, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as pillow

from elbowroom.analysis.figures.curves import Pictures, draw_pictures
from elbowroom.analysis.figures.latent_space import (
    Cloud,
    Decoded,
    draw_draws,
    draw_kl,
    draw_planes,
    draw_robustness,
    draw_samples,
)
from elbowroom.analysis.latent_space.similarity import mmd_to_normal
from elbowroom.models import VAE, Reducer
from elbowroom.models.measures.errors import reconstruction_mse
from elbowroom.models.measures.generation import GENERATORS, nearest_training
from elbowroom.models.measures.latent_space import robustness
from elbowroom.tracking.cli import be_quiet
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.drawing import PALETTE, Look
from elbowroom.tracking.logged_model import load_reducer
from elbowroom.tracking.run import execute
from elbowroom.tracking.run.figures import decoded_plane, plot_generated_samples

be_quiet()
BASE = RunConfig(dataset="mnist", dim3=2, epochs=5)


def show(figure: Figure) -> Image:
    """The figure as a PNG of 256 colours, which keeps this file small."""
    canvas, file = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    drawn = pillow.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    drawn.quantize(256, kmeans=1, dither=pillow.Dither.NONE).save(file, "PNG", optimize=True)
    return Image(file.getvalue(), width=int(100 * figure.get_figwidth()))


# %% [markdown]
# ## Why
#
# An autoencoder is asked for one thing: decode(encode(x)) near x. Nothing says where the codes lie, or what the
# decoder makes of a point that is no image's code. To *generate* images one needs both: a distribution to draw codes
# from, and a decoder that is right in the neighbourhood of codes, not at the codes alone.
#
# A VAE's encoder gives a normal distribution for each image, N(mean, diag(exp(log_var))); a code is drawn from it,
# z = mean + exp(log_var / 2) · noise, and decoded. The loss, in nats per image, is the reconstruction term *summed*
# over pixels plus the divergence KL(N(mean, diag(exp(log_var))) || N(0, I)) *summed* over latents, which draws all
# the distributions towards the prior N(0, I). Here is the code that trains (`models/neural/vae.py`):

# %%
print(inspect.getsource(VAE.objective))

# %% [markdown]
# ## Train a VAE, and an autoencoder beside it
#
# The same layers, the same images, the same seed. Each run is recorded (`make ui`, experiment `notebooks`), and the
# model is read back from there.

# %%
prepared_data = PreparedData.load(BASE)
data, x_train = prepared_data.data, prepared_data.split.x_train
x_test, labels = data.x_test, data.y_test
LOOK = Look(data.image_shape)
mean_image = x_train.mean(axis=0, dtype=np.float64).astype(np.float32)
mean_mse = reconstruction_mse(x_test, np.broadcast_to(mean_image, x_test.shape))


def train(config: RunConfig) -> tuple[Reducer, dict[str, float]]:
    """The model of a recorded run, loaded from the store, and the run's metrics."""
    result = execute(config, prepared_data=prepared_data)
    return load_reducer(result.run_id), dict(result.metrics)


vae, vae_metrics = train(replace(BASE, model="vae"))
ae, ae_metrics = train(replace(BASE, model="ae"))
print(f"test error of the mean image: {mean_mse:.4f}")
print(f"test error of the autoencoder: {ae_metrics['test/mse']:.4f}")
print(f"test error of the VAE, decoding the mean: {vae_metrics['test/mse']:.4f}")
print(f"the VAE's -ELBO: {-vae_metrics['test/elbo']:.1f} nats per image, of which KL {vae_metrics['test/kl']:.1f}")

# %% [markdown]
# ## Sample from the prior
#
# Codes from N(0, I), decoded. For the VAE that is what it was trained for. For the autoencoder it is a guess; the
# better guess, on the right, is a Gaussian fitted to the codes of the training images.

# %%
ae_training_codes = ae.encode(x_train)
draws = [
    vae.sample(36, np.random.default_rng(0)),
    GENERATORS["normal"](ae, ae_training_codes, 36, np.random.default_rng(0)),
    ae.sample(36, np.random.default_rng(0)),
]
titles = ("VAE, z from N(0, I)", "autoencoder, z from N(0, I)", "autoencoder, fitted Gaussian")
show(draw_draws(np.stack(draws), titles, look=LOOK))

# %%
print("the autoencoder's codes: mean", ae_training_codes.mean(axis=0).round(1), end=", ")
print("standard deviation", ae_training_codes.std(axis=0).round(1))

# %% [markdown]
# N(0, I) is the wrong place to ask the autoencoder: its codes have the means and standard deviations printed above,
# so draws from N(0, I) land in one part of them, and digits whose codes lie elsewhere don't come up. From the fitted
# Gaussian more of them do, but some are ragged or no digits: it also reaches where no codes are. Most of the VAE's
# samples look like digits, blurred, and some like blends of two.
#
# **`plot_generated_samples`, run three times**: with one generator of random numbers, with a new one, and with the
# first one's seed again.


# %%
def pixels(figure: Figure) -> np.ndarray:
    """The figure as it is drawn, (height, width, 4)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba()).copy()


first, other, again = (plot_generated_samples(vae, 36, np.random.default_rng(seed), LOOK) for seed in (1, 2, 1))
assert not np.array_equal(pixels(first), pixels(other))
assert np.array_equal(pixels(first), pixels(again))
print("another seed: other images; the same seed: the same image, pixel by pixel")
display(*(show(figure) for figure in (first, other, again)))

# %% [markdown]
# So yes: every run with a new generator gives other images, because z is drawn anew. Only z is random; the decoder
# isn't, and the same seed gives the same picture.

# %% [markdown]
# ## The latent space beside the autoencoder's
#
# Above the codes of 3,000 test images (of the VAE: the means), below what is decoded from a grid: over the middle
# 95 % of the autoencoder's codes along each axis, and over quantiles of N(0, I) for the VAE.


# %%
def plane(title: str, model: Reducer) -> tuple[Cloud, Decoded]:
    """The codes of the test images, and what the model decodes from a grid over them."""
    z = model.encode(x_test)
    grid = decoded_plane(model, z, 15)
    return Cloud(title, z), Decoded(title, grid.x, grid.ticks)


clouds, grids = zip(plane("autoencoder", ae), plane("VAE", vae), strict=True)
show(draw_planes(list(clouds), list(grids), labels, data.classes, LOOK))

# %% [markdown]
# Both give most digits a region of their own, and both crowd some together. The autoencoder's codes have the centre
# and the scale that training happened to leave, another one along each axis. The VAE's lie around 0 within about four
# units, and a grid whose place was fixed before training, by the prior alone, shows digits nearly everywhere.
#
# **What the KL term costs, and whether it works.** The KL of a latent, averaged over images, is the most that it can
# tell about an image; a latent without any is switched off. And what should be distributed as N(0, I) is not the means
# but one *draw* for each image from its own normal distribution.

# %%
mean, log_var = vae.posterior(x_test)
drawn = mean + np.exp(0.5 * log_var) * np.random.default_rng(0).standard_normal(mean.shape)


def kl_by_latent(model: Reducer) -> np.ndarray:
    """KL to the prior of each latent in nats, the mean over the test images, (dim3,)."""
    m, v = (part.astype(np.float64) for part in model.posterior(x_test))
    return 0.5 * (m**2 + np.exp(v) - 1 - v).mean(axis=0)


def scatters(panels: list[tuple[str, np.ndarray, np.ndarray | None]]) -> Figure:
    """Codes (N, 2) beside each other in one window, in the colours of their classes, which are those above."""
    figure = Figure(figsize=(9, 3.3), dpi=100, layout="constrained")
    for axes, (title, z, y) in zip(figure.subplots(1, len(panels), sharex=True, sharey=True), panels, strict=True):
        c = "0.4" if y is None else np.array(PALETTE)[y[:3000]]
        axes.scatter(*z[:3000].T, s=3, c=c, alpha=0.7, linewidths=0)
        axes.set(title=title, xlabel="$z_1$", ylabel="$z_2$", xlim=(-4, 4), ylim=(-4, 4), aspect="equal")
        axes.label_outer()
        axes.grid(alpha=0.3)
    return figure


print("KL of each latent:", kl_by_latent(vae).round(2), "nats")
print("standard deviation of the means:        ", mean.std(axis=0).round(2))
print("standard deviation of the draws:        ", drawn.std(axis=0).round(2))
print("of the noise, exp(log_var / 2), on average:", np.exp(0.5 * log_var).mean(axis=0).round(2))
normal = np.random.default_rng(0).standard_normal((len(x_test), 2))
show(scatters([("means", mean, labels), ("one draw for each image", drawn, labels), ("N(0, I)", normal, None)]))

# %%
ae_codes = ae.encode(x_test)
standardised = (ae_codes - ae_codes.mean(axis=0)) / ae_codes.std(axis=0)
tested = {
    "N(0, I) itself": normal,
    "VAE, draws": drawn,
    "VAE, means": mean,
    "autoencoder, codes": ae_codes,
    "autoencoder, standardised": standardised,
}
mmd = {name: mmd_to_normal(z) for name, z in tested.items()}
print(f"{'2,000 codes against N(0, I)':<30}{'MMD squared':>12}{'95 % of null':>14}{'p':>8}")
for name, found in mmd.items():
    print(f"{name:<30}{found.squared:>12.4f}{found.null:>14.4f}{found.p:>8.3f}")

# %% [markdown]
# The squared maximum mean discrepancy (MMD) is about 0 where two samples are from one distribution; for as many codes
# from the same distribution it stays below the null level in 95 of 100 cases, as in the first row. The VAE's draws are
# far nearer to N(0, I) than the autoencoder's codes are, as they come. But they are **not** N(0, I): the MMD is well
# above the null level, and the picture shows clusters with gaps. Centred and scaled, the autoencoder's codes are no
# farther from it than the VAE's are here: what the KL term has brought about is the right place and size more than the
# right shape.
#
# Why not more? The average KL is the information that codes carry about images, plus the divergence of the draws'
# distribution from N(0, I). The loss weighs their sum against a reconstruction term of more than a hundred nats (the
# numbers below the training), and with two latents only, spreading the codes pays more than it costs. So the noise is
# small beside the codes, and draws and means look much the same.

# %% [markdown]
# ## More robust at decoding?
#
# "To make the models more robust at decoding latent variables", says the assignment. Push each test image's code in a
# random direction, and look at the error of the decoded image. Lengths are in standard deviations of each model's own
# codes, so that a model can't win by spreading its codes.

# %%
curves = {name: robustness(model, x_test) for name, model in {"ae": ae, "vae": vae}.items()}
print(f"{'length of the push':<20}" + "".join(f"{length:>8.2f}" for length in curves["ae"][:, 0]))
for name, curve in curves.items():
    print(f"error, {name:<13}" + "".join(f"{error:>8.4f}" for error in curve[:, 1]))
show(draw_robustness([(2, [("autoencoder", "ae", curves["ae"]), ("VAE", "vae", curves["vae"])])]))

# %% [markdown]
# In these two runs the VAE's error is the lower one at every length: hardly for short pushes, clearly for long ones.
# What it was trained for is pushes of the size of its noise, printed further above beside the standard deviation of
# the codes; these are short, and neither model loses much by them. With two latents every place on the plane is taken,
# and a long push decodes as another digit in either model.

# %% [markdown]
# ## How good are the samples?
#
# First, are they copies? Below each sample is the training image nearest to it.

# %%
generators = {name: m.sample(1000, np.random.default_rng(3)) for name, m in {"VAE": vae, "autoencoder": ae}.items()}
found = {name: nearest_training(x, x_train) for name, x in generators.items()}
for name, (_, distances) in (found | {"real test images": nearest_training(x_test[:1000], x_train)}).items():
    print(f"{name:<18} median difference to the nearest training image, mean squared: {np.median(distances):.4f}")
show(draw_samples([(name, x[:10], x_train[found[name][0][:10]]) for name, x in generators.items()], LOOK))

# %% [markdown]
# No copies: samples are about as far from their nearest training images as real test images are from theirs, and the
# pairs differ visibly. Nor are they sharp: they are smoother than any real image.
#
# Second, do they look real (precision: the share of samples that lie among real images) and do they cover all that
# is real (recall: the share of real images that lie among the samples)? Both by balls around each row that reach to
# its third nearest neighbour, in the space of the first 50 principal components (Kynkäänniemi et al. 2019).

# %%
references = prepared_data.references
held, rng = references.count, np.random.default_rng
judged = {
    "other real images": references.others,
    "VAE, reconstructions of these": vae.reconstruct(references.others),
    "VAE, samples": vae.sample(held, rng(4)),
    "autoencoder, reconstructions": ae.reconstruct(references.others),
    "autoencoder, samples": ae.sample(held, rng(4)),
}
quality = {name: references.judge(x).numbers for name, x in judged.items()}
print(f"{f'{held:,} of each':<32}{'precision':>10}{'recall':>10}")
for name, numbers in quality.items():
    print(f"{name:<32}{numbers['precision']:>10.3f}{numbers['recall']:>10.3f}")

# %% [markdown]
# **Read recall with care.** It is about 0 for the samples, and about 0 for the *reconstructions* of real images as
# well, which were not drawn from anything. With two latents all images that a decoder can make lie on a thin,
# two-dimensional sheet; the balls around them are small, and real images lie beside the sheet. So here recall speaks
# of the decoder and its two latents; that the generator leaves digits out it doesn't show. Compare a model's samples
# with its own reconstructions, not with real images. Nor is a precision above that of real images better than real:
# smooth images lie in the middle of the others, inside many balls.

# %% [markdown]
# ## The usual mistake: how a VAE collapses
#
# Average the reconstruction over the 784 pixels, as most losses do by default, and leave the KL *summed*. That is the
# loss above divided by 784, but for the KL, which stands there undivided: the same as the right loss with the KL
# multiplied by 784, up to a factor. So `beta = 784` is that mistake, trained here for two epochs.

# %%
collapsed, collapsed_metrics = train(replace(BASE, model="vae", epochs=2, beta=float(data.dim1)))
for name, metrics in (("beta 1", vae_metrics), (f"beta {data.dim1}", collapsed_metrics)):
    print(
        f"{name:<9} units in use {metrics['test/units_in_use']:.0f} of 2, KL {metrics['test/kl']:.5f} nats, "
        f"test error {metrics['test/mse']:.4f}"
    )
print(f"the mean image: test error {mean_mse:.4f}")
show(draw_kl([("VAE, beta 1", kl_by_latent(vae)), (f"VAE, beta {data.dim1}", kl_by_latent(collapsed))]))

# %%
shown = [("VAE", vae.reconstruct(x_test[:10])), ("collapsed", collapsed.reconstruct(x_test[:10]))]
show(draw_pictures(Pictures(2, data.image_shape, x_test[:10], shown)))

# %% [markdown]
# A unit (latent) is in use where its KL, averaged over the test images, is above 0.05 nat; here none is. Whatever goes
# in, the encoder answers N(0, I), so the KL is 0; the code says nothing, and the best that the decoder can do is the
# mean image for everything. No error is raised, and the loss is a fine small number; the KL and the units in use show
# the collapse. Sum both terms, or divide both by the same number.
#
# ## In short
#
# - *VAE and autoencoder*: at two latents they err about equally. The VAE can be sampled from a prior that was fixed
#   beforehand; the autoencoder only from a distribution that is fitted to its codes, and less well.
# - *Latent representations*: both plots show a region for most digits. The VAE's is centred and of the prior's size,
#   if not of its shape.
# - *Running `plot_generated_samples` several times*: other images each time, because z is drawn anew; the same images
#   with the same seed.

# %%
for name, value in {
    "mean_mse": mean_mse,
    "ae_mse": ae_metrics["test/mse"],
    "vae_mse": vae_metrics["test/mse"],
    "vae_units_in_use": vae_metrics["test/units_in_use"],
    "collapsed_units_in_use": collapsed_metrics["test/units_in_use"],
    "collapsed_mse": collapsed_metrics["test/mse"],
    "mmd_vae_draws": mmd["VAE, draws"].squared,
    "mmd_ae_codes": mmd["autoencoder, codes"].squared,
    "mmd_null": mmd["VAE, draws"].null,
    "ae_pushed_by_3_mse": curves["ae"][-1, 1],
    "vae_pushed_by_3_mse": curves["vae"][-1, 1],
    "recall_real": quality["other real images"]["recall"],
    "recall_vae_reconstructions": quality["VAE, reconstructions of these"]["recall"],
    "recall_vae_samples": quality["VAE, samples"]["recall"],
}.items():
    print(f"{name:<28}{value:.6g}")
