"""The base class of the torch models: scaling of the data, choice of output and loss, and the weights as arrays."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import Array, Labels, OnEpoch, Reducer, Rows, in_unit_interval
from ..measures.errors import bernoulli_nats
from .training import FEWEST_TO_STOP_BY, Objective, Training, resolve_device, streams, train

EVAL_SEED = 0  # of the noise of every evaluation: so that curves of metrics show the model and not the draw
_EVAL_ROWS = 4096  # per block where no gradient is needed
_NEAR = 0.1  # distance to an end of [0, 1]
_OFTEN = 0.02  # share of a column's rows: a single outlier, by which a column was scaled, does not count
_FAIR_SHARE = 0.25  # of the columns: on MNIST 52 % come often near both ends


class TorchReducer(Reducer):
    """A pair of torch modules, trained by gradient descent.

    Subclasses define the modules (`architecture`), the loss (`objective`) and which part of the encoder's output is
    the code (`codes_of`). The decoder's last layer is linear; this class appends a sigmoid where the output is
    `sigmoid`.

    Where the data fill [0, 1] the output is a sigmoid and the data are used as they are. Else the output is linear, and
    the modules get (x - mean) / scale: the mean of each column over the training rows, and one scale for all columns,
    because a scale per column would change the error that is compared with PCA's. Float64 rows are centred and divided
    before they are rounded to float32, so that a constant in the data costs no digits.
    """

    takes_float64 = True

    def __init__(self, *, dim3: int, loss: str, output: str, training: Training) -> None:
        self.dim3, self.loss, self.output, self.training = dim3, loss, output, training
        self.output_reason = "asked for"
        self.device = resolve_device(training.device)

    @abstractmethod
    def architecture(self, dim1: int) -> tuple[nn.Module, nn.Module]:
        """Return a new encoder (B, dim1) -> (B, ·) and decoder (B, dim3) -> (B, dim1), without a last sigmoid."""

    @abstractmethod
    def codes_of(self, encoded: Tensor) -> Tensor:
        """Return the deterministic code (B, dim3) in the encoder's output."""

    @abstractmethod
    def objective(self, x: Tensor, noise: torch.Generator) -> Objective:
        """Return the loss on a batch x (B, dim1), in the units of the modules."""

    @abstractmethod
    def default_loss(self, output: str) -> str:
        """Return the loss, `mse` or `bce`, that `--loss auto` means with an output of `sigmoid` or `linear`."""

    def advice(self, first: Mapping[str, Tensor], rows: int) -> str:
        """Return what to change where the loss of an epoch of `rows` rows is not finite.

        `first` holds the terms of the objective on the epoch's first batch.
        """
        return "; try a smaller --lr"

    def before_fit(self, x: Rows) -> None:
        """Set the parts of the new modules that are not trained but computed from x (N, dim1); by default none."""

    def after_fit(self, codes: Array) -> None:
        """Fit the prior that `sample` draws from to the codes (N, dim3) of the training rows; by default nothing."""

    @final
    def fit(
        self, x: Rows, y: Labels | None = None, *, x_val: Rows | None = None, on_epoch: OnEpoch | None = None
    ) -> Self:
        """Train on x (N, dim1): see `Reducer.fit`.

        With `patience` > 0 a tenth of the rows is held out from the gradient steps: the training stops after so many
        epochs without a lower loss on it, and the weights of the best epoch are kept. Raises ValueError as `check`,
        Diverged where the loss is not finite.
        """
        self._resolve(x)
        # nn.Linear and a user's dropout draw from the global generator, which is restored afterwards.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(streams(self.training.seed)[0])
            self._build()
            self.before_fit(x)
            rows = self._to_modules(x)
            rows_val = None if x_val is None else self._to_modules(x_val)
            self.epochs_trained = train(self, rows, rows_val, on_epoch)
        self.after_fit(self.encode(x))
        return self

    def check(self, x: Rows) -> None:
        """Raise ValueError for x (N, dim1) that output, loss or patience do not suit."""
        unit = in_unit_interval(x)
        limits = f"[{x.min():.4g}, {x.max():.4g}]"
        if self.output == "sigmoid" and not unit:
            raise ValueError(f"output sigmoid needs data in [0, 1], and these lie in {limits}")
        if self.loss == "bce" and (self.output == "linear" or not unit):
            here = f"here the output is {self.output} and the data lie in {limits}"
            raise ValueError(f"loss bce needs a sigmoid output and data in [0, 1]; {here}")
        if self.training.patience > 0 and len(x) < FEWEST_TO_STOP_BY:
            raise ValueError(
                f"patience holds out a tenth of the training rows, and needs at least {FEWEST_TO_STOP_BY}, got {len(x)}"
            )

    @final
    def encode(self, x: Rows) -> Array:
        """Return codes (N, dim3) of x (N, dim1)."""
        return self._in_blocks(lambda b: self.codes_of(self.encoder(self._to_modules(b))), x)

    @final
    def decode(self, z: Array) -> Rows:
        """Return rows (N, dim1), in the units of the data, of codes z (N, dim3)."""
        return self._to_data(self._in_blocks(lambda b: self._output(self.decoder(self._tensor(b))), z))

    @final
    def logits(self, z: Array) -> Array:
        """Return the decoder's output before the sigmoid, (N, dim1), of codes z (N, dim3)."""
        return self._in_blocks(lambda b: self.decoder(self._tensor(b)), z)

    @final
    def extra_metrics(self, x: Rows) -> dict[str, float]:
        """Return `bce`, nats per row of the deterministic reconstruction, where the output is a sigmoid."""
        if self.output != "sigmoid":
            return {}
        return {"bce": float(bernoulli_nats(x, self.logits(self.encode(x))).mean())}

    @final
    @torch.inference_mode()
    def evaluate(self, x: Tensor) -> dict[str, float]:
        """Return `val/loss` and its terms, with one seeded draw, and `val/mse` of the deterministic reconstruction."""
        self.network.eval()
        noise = torch.Generator(device=self.device).manual_seed(EVAL_SEED)
        totals: dict[str, float] = {}
        for block in x.split(_EVAL_ROWS):
            objective = self.objective(block, noise)
            x_hat = self._output(self.decoder(self.codes_of(self.encoder(block))))
            mse = F.mse_loss(x_hat, block)
            for name, value in {"loss": objective.loss, "mse": mse, **objective.parts}.items():
                totals[name] = totals.get(name, 0.0) + value.item() * len(block)
        totals["mse"] *= self.scale**2  # in the units of the data, which may be too large or small for float32
        return {f"val/{name}": total / len(x) for name, total in totals.items()}

    @final
    def reconstruction(self, raw: Tensor, x: Tensor) -> Tensor:
        """Return the reconstruction term, averaged over the rows x (B, dim1), of the decoder's output `raw`.

        `mse`: squared error averaged over pixels. `bce`: nats per row, summed over pixels.
        """
        if self.loss == "mse":
            return F.mse_loss(self._output(raw), x)
        return _cross_entropy(raw, x) / len(x)

    @final
    def parameter_count(self) -> int:
        """Return how many parameters of encoder and decoder are trained."""
        return sum(p.numel() for p in self.network.parameters() if p.requires_grad)

    def facts(self) -> dict[str, str]:
        """Return loss, output, learning rate, device and scaling as `auto` was resolved, and the output's reason."""
        linear = f"centred by the training mean, divided by {self.scale:.6g}"
        return {
            "loss": self.loss,
            "output": self.output,
            "output_reason": self.output_reason,
            "lr": f"{self.training.lr:g}, {self.training.schedule}",
            "device": self.device.type,
            "scaling": linear if self.output == "linear" else "none: the data lie in [0, 1]",
        }

    @final
    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the weights, the scaling and the prior: see `Reducer.state`."""
        plain = {k: v for k, v in vars(self).items() if isinstance(v, str | int | float | np.ndarray)}
        weights = {f"weights/{k}": v.cpu().numpy() for k, v in self.network.state_dict().items()}
        return {k: np.asarray(v) for k, v in plain.items()} | weights

    @final
    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """Restore as `Reducer.restore`, on this machine's device. Raises ValueError for weights of other shapes."""
        weights = {k.removeprefix("weights/"): v for k, v in state.items() if k.startswith("weights/")}
        super().restore({k: v for k, v in state.items() if not k.startswith("weights/")})
        with torch.device("meta"):  # before the network is allocated, which may be of any size in a stranger's file
            pair = zip(("encoder", "decoder"), self.architecture(self.dim1), strict=True)
            shapes = {f"{part}.{k}": tuple(v.shape) for part, module in pair for k, v in module.state_dict().items()}
        if shapes != {k: v.shape for k, v in weights.items()}:
            raise ValueError("the weights do not have the shapes of the model")
        with torch.random.fork_rng(devices=[]):  # the initial weights are drawn only to be overwritten
            self._build()
        self.network.load_state_dict({k: torch.from_numpy(np.array(v)) for k, v in weights.items()})
        self.network.eval()
        return self

    def _resolve(self, x: Rows) -> None:
        """Replace `auto` by an output and a loss that suit x (N, dim1), and fit the scaling."""
        self.check(x)
        if self.output == "auto":
            needed = ("sigmoid", "loss bce needs it")
            self.output, self.output_reason = needed if self.loss == "bce" else _suited_output(x)
        if self.loss == "auto":
            self.loss = self.default_loss(self.output)
        self.dim1 = x.shape[1]
        self.mean, self.scale = np.zeros(self.dim1, x.dtype), 1.0
        if self.output == "linear":
            self.mean = x.mean(axis=0, dtype=np.float64).astype(x.dtype)
            self.scale = math.sqrt(x.var(axis=0, dtype=np.float64).mean()) or 1.0

    def _build(self) -> None:
        self.encoder, self.decoder = self.architecture(self.dim1)
        self.network = nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder}).to(self.device)

    def _to_modules(self, x: Rows) -> Tensor:
        return self._tensor(x if self.output == "sigmoid" else (x - self.mean) / self.scale)

    def _to_data(self, out: Array) -> Rows:
        return out if self.output == "sigmoid" else out * self.scale + self.mean

    def _tensor(self, x: Rows) -> Tensor:
        with warnings.catch_warnings():  # the rows of a study are read-only, and nothing here writes to them
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(self.device)

    def _output(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw) if self.output == "sigmoid" else raw

    def _in_blocks(self, function: Callable[[Rows], Tensor], rows: Rows) -> Array:
        blocks = [rows[i : i + _EVAL_ROWS] for i in range(0, len(rows), _EVAL_ROWS)]
        was_training = self.network.training
        self.network.eval()
        with torch.inference_mode():
            out = [function(b).cpu().numpy() for b in blocks]
        self.network.train(was_training)
        return np.concatenate(out)


def _suited_output(x: Rows) -> tuple[str, str]:
    """The output that `auto` means for rows x (N, dim1), `sigmoid` or `linear`, and the reason.

    A sigmoid where a quarter of the columns come near both 0 and 1, in 2 % of their rows each. Data in a small part of
    [0, 1], such as shares of a whole or a long tail, are hardly learnt through a sigmoid.
    """
    if not in_unit_interval(x):
        return "linear", f"the data lie in [{x.min():.4g}, {x.max():.4g}]"
    varying = int((x.min(axis=0) < x.max(axis=0)).sum())
    often = np.minimum((x <= _NEAR).mean(axis=0), (x >= 1 - _NEAR).mean(axis=0)) >= _OFTEN
    reaching = int(often.sum())
    why = f"the data lie in [0, 1], and {reaching} of the {varying} columns that vary come often near both ends"
    return "sigmoid" if reaching >= _FAIR_SHARE * varying else "linear", why


def _cross_entropy(raw: Tensor, x: Tensor) -> Tensor:
    """The binary cross-entropy between x (B, dim1) in [0, 1] and sigmoid(raw), in nats, summed over all pixels.

    With a = |raw| it is (a + raw) / 2 - log sigmoid(a) - x · raw: stable, with the right gradient at 0. It equals
    `F.binary_cross_entropy_with_logits` to rounding; that calls log1p, for which torch has no vector code on x86, and
    was a third of a VAE's step.
    """
    a = raw.abs()
    return 0.5 * (a + raw).sum() - a.sigmoid().log().sum() - torch.dot(x.reshape(-1), raw.reshape(-1))
