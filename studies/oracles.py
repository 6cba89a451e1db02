"""Compare this machine's results with theory: `python -m studies.oracles`.

Each oracle trains or computes something that theory has an exact answer for, measures its distance from that, and is
recorded as a run of kind `oracle`. From Python: `ask`. Exit codes: 0 all hold; 1 one does not; 2 bad input.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

import numpy as np
from mlflow import MlflowClient
from scipy.linalg import subspace_angles

from elbowroom.models import Reducer, Rows, build
from elbowroom.models.base import Array
from elbowroom.models.measures.errors import (
    constant_mse,
    explained_variance,
    kl_by_latent,
    reconstruction_mse,
    units_in_use,
)
from elbowroom.models.threads import on_threads
from elbowroom.tracking.cli import Parser, command
from elbowroom.tracking.config import RunConfig
from elbowroom.tracking.data.prepared_data import PreparedData
from elbowroom.tracking.store.client import reach_store
from elbowroom.tracking.store.errors import RunFailed
from elbowroom.tracking.store.names import HOLDS, Kind, Tag
from elbowroom.tracking.store.recorder import Place, close, recording
from elbowroom.tracking.store.session import borrowed, see_it, use_store

_DIM3 = 8


@dataclass(frozen=True)
class Finding:
    """The result of an oracle: whether theory holds, a sentence that says so, and its numbers."""

    holds: bool
    says: str
    numbers: Mapping[str, float]


_Oracle = Callable[[Array], Finding]


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; the exit code."""

    def body() -> int:
        use_store(parser().parse_args(arguments))
        return 0 if all(finding.holds for finding in ask(verbose=True).values()) else 1

    return command(body, killed="the oracles are asked anew by the same command")


def parser() -> Parser:
    """The flags of the store."""
    made = Parser("studies.oracles", "Ask this machine questions whose answers are known.")
    made.add_store()
    return made


def _linear_ae_reaches_pca(x: Array) -> Finding:
    """A linear autoencoder's best is PCA's subspace (Baldi & Hornik 1989): error ratio at most 1.01."""
    pca = _fitted(x, model="pca")
    linear = _fitted(x, model="linear-ae", epochs=600, batch_size=256, lr=3e-3)
    ratio = reconstruction_mse(x, linear.reconstruct(x)) / reconstruction_mse(x, pca.reconstruct(x))
    angle = float(np.degrees(subspace_angles(_spanned(linear).T, _spanned(pca).T).max()))
    return Finding(
        0.999 <= ratio <= 1.01,
        f"error / PCA's {ratio:.5f} (at most 1.01), largest principal angle {angle:.2f} degrees",
        {"error_ratio": ratio, "principal_angle_degrees": angle},
    )


def _pca_error_is_its_tail(x: Array) -> Finding:
    """PCA's training error is the sum of the eigenvalues that it leaves out (Jolliffe 2002, section 2.1)."""
    pca = _fitted(x, model="pca")
    error = reconstruction_mse(x, pca.reconstruct(x))
    tail = float(pca.extra_artifacts(x, x)["spectrum"][_DIM3:].sum()) * (len(x) - 1) / x.size
    off = abs(error / tail - 1)
    return Finding(
        off < 1e-5, f"error {error:.7f}, tail of the spectrum {tail:.7f}", {"error": error, "tail": tail, "off": off}
    )


def _kl_is_its_integral(x: Array) -> Finding:
    """The VAE's KL term in closed form against 400,000 draws of log q(z) - log p(z): within 4 standard errors."""
    rng = np.random.default_rng(0)
    mean, log_var = rng.standard_normal((2, _DIM3), dtype=np.float32)
    closed = float(kl_by_latent(mean, log_var).sum())
    noise = rng.standard_normal((400_000, _DIM3))
    z = mean + np.exp(0.5 * log_var) * noise
    draws = 0.5 * (z**2 - noise**2 - log_var).sum(axis=1)
    drawn, error = float(draws.mean()), float(draws.std(ddof=1) / np.sqrt(len(draws)))
    return Finding(
        abs(closed - drawn) < 4 * error,
        f"closed form {closed:.4f} nats, drawn {drawn:.4f} ± {error:.4f}",
        {"closed_form": closed, "monte_carlo": drawn, "standard_error": error},
    )


def _collapse_is_seen(x: Array) -> Finding:
    """A VAE under a crushing beta keeps no latent: no units in use, and the error of the mean row."""
    crushed = _fitted(x, model="vae", dim2=64, beta=100.0, epochs=40, batch_size=64, lr=3e-3)
    used = _fitted(x, model="vae", dim2=64, epochs=40, batch_size=64, lr=3e-3)
    mean = x.mean(axis=0)
    posteriors = [vae.posterior(x) for vae in (crushed, used)]
    units, healthy = (units_in_use(kl_by_latent(*p).mean(axis=0)) for p in posteriors if p is not None)
    explained = explained_variance(reconstruction_mse(x, crushed.reconstruct(x)), constant_mse(x, mean))
    return Finding(
        units == 0 and abs(explained) < 0.01 and healthy > 0,
        f"{units} of {_DIM3} units in use and {100 * explained:.2f} % explained at beta 100; {healthy} in use at "
        "beta 1",
        {"units_in_use": units, "explained_variance": explained, "units_in_use_beta_1": healthy},
    )


def _rank_3_is_solved_at_3(x: Array) -> Finding:
    """On rows that lie in three dimensions, PCA and the linear autoencoder have an error at dim3 = 2, and none at 3."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((20, 3)))[0].T
    flat = (rng.standard_normal((1000, 3)) @ basis).astype(np.float32)
    total = constant_mse(flat, flat.mean(axis=0))
    left = {
        f"{model}_{k}": reconstruction_mse(flat, _fitted(flat, **how, model=model, dim3=k).reconstruct(flat)) / total
        for model, how in {"pca": {}, "linear-ae": {"epochs": 300, "batch_size": 100, "lr": 3e-3}}.items()
        for k in (2, 3)
    }
    holds = all(left[f"{m}_3"] < 1e-3 and left[f"{m}_2"] > 0.1 for m in ("pca", "linear-ae"))
    said = ", ".join(f"{name.replace('_', ' at ')} {share:.1e}" for name, share in left.items())
    return Finding(holds, f"share of the variance left: {said}", left)


def _equal_seeds_are_equal(x: Array) -> Finding:
    """Two trainings with one seed agree in every bit, one with another seed does not."""
    differing = {}
    for model in ("pca", "ae", "vae"):
        a, b = (_fitted(x, model=model, dim2=32, epochs=3).encode(x) for _ in range(2))
        differing[f"{model}_values_differing"] = float((a != b).sum())
    other = _fitted(x, model="ae", dim2=32, epochs=3, seed=1).encode(x)
    moved = bool((other != _fitted(x, model="ae", dim2=32, epochs=3).encode(x)).any())
    total = sum(differing.values())
    return Finding(
        total == 0 and moved, f"{total:.0f} of the codes of pca, ae and vae differ between two trainings", differing
    )


ORACLES: Mapping[str, _Oracle] = {
    "linear-ae-reaches-pca": _linear_ae_reaches_pca,
    "pca-error-is-its-tail": _pca_error_is_its_tail,
    "kl-is-its-integral": _kl_is_its_integral,
    "collapse-is-seen": _collapse_is_seen,
    "rank-3-is-solved-at-3": _rank_3_is_solved_at_3,
    "equal-seeds-are-equal": _equal_seeds_are_equal,
}
"""By name. Each is called with the training rows of `digits`, (1498, 64)."""


def ask(*, tracking_uri: str | None = None, experiment: str | None = None, verbose: bool = False) -> dict[str, Finding]:
    """Call every oracle and record each as a run. An oracle that raises an exception does not hold.

    Parameters
    ----------
    tracking_uri
        The tracking store; None: the one in use.
    experiment
        The MLflow experiment; None: the one that the environment names.
    verbose
        Whether to print what the command prints.

    Returns
    -------
    The findings by the oracles' names.

    Raises
    ------
    BadInput
        The store can't be used.
    """
    with borrowed(tracking_uri, experiment):
        client = reach_store()
        with recording(client, "oracles") as recorder:
            recorder.tags({Tag.KIND: Kind.ORACLE})
            experiment_id = client.get_run(recorder.run_id).info.experiment_id
            findings = _ask_all(client, Place(experiment_id, recorder.run_id, Kind.ORACLE), verbose)
        wrong = [name for name, finding in findings.items() if not finding.holds]
        reason = f"{len(wrong)} of {len(ORACLES)} do not hold: {', '.join(wrong)}"
        if wrong:
            close(client, recorder.run_id, "FAILED", reason)
        if verbose:
            print(see_it(experiment_id, recorder.run_id))
            if wrong:
                print(f"error: {reason}", file=sys.stderr)
            else:
                print(f"all {len(ORACLES)} hold")
        return findings


def _ask_all(client: MlflowClient, place: Place, verbose: bool) -> dict[str, Finding]:
    """Call one oracle after the other and record each."""
    x = PreparedData.load(RunConfig(dataset="digits", val_size=0)).split.x_train
    findings = {}
    with on_threads(1):
        for name, oracle in ORACLES.items():
            began = time.perf_counter()
            try:
                with recording(client, name, place) as recorder:
                    finding = oracle(x)
                    recorder.metrics({**finding.numbers, HOLDS: float(finding.holds)})
                    recorder.tags({Tag.DESCRIPTION: finding.says})
            except RunFailed as error:
                finding = Finding(False, error.reason, {})
            findings[name] = finding
            if verbose:
                verdict = "holds" if finding.holds else "FAILS"
                print(f"{verdict}  {name:<23}{finding.says}  ({time.perf_counter() - began:.1f} s)", flush=True)
    return findings


def _spanned(model: Reducer) -> Rows:
    """The directions (dim3, dim1) in which a linear decoder moves with each code."""
    return model.decode(np.eye(_DIM3, dtype=np.float32)) - model.decode(np.zeros((1, _DIM3), dtype=np.float32))


def _fitted(x: Array, **values: object) -> Reducer:
    """A model trained on x (N, dim1); `values` are fields of RunConfig."""
    config = replace(RunConfig(dataset="digits", dim3=_DIM3, threads=1, device="cpu"), **values)  # type: ignore[arg-type]
    return build(config.model, asdict(config) | {"dim1": x.shape[1]}).fit(x)


if __name__ == "__main__":
    sys.exit(main())
