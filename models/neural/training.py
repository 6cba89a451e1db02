"""The one training loop, and the one class that every torch model stands on.

The data lives in memory once, as a tensor on the device; a batch is an index into it. There is no
DataLoader and no per-sample transform: on MNIST those cost more than the training.

Three streams of random numbers come from `seed` and from nothing else: the initial weights, the order
of the rows and the noise (of a VAE). So a change of the noise never changes the order, and the same
seed on the same machine with the same number of threads gives bitwise equal losses.

Adam: Kingma & Ba 2015. The learning rate's schedule and its evidence: docs/performance.md.
"""

from __future__ import annotations

import copy
import math
import warnings
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import Array, Epoch, Labels, OnEpoch, Reducer, Rows, in_unit_interval
from .adam import Adam

EVAL_ROWS = 4096  # rows at a time where no gradient is needed
RISE = 0.1  # share of the budget over which the learning rate of a cycle goes up
NEAR = 0.1  # to an end of [0, 1]
OFTEN = 0.02  # of a column's rows: one outlier, by which a column was scaled, is no second end
FAIR_SHARE = 0.25  # of the columns: on MNIST 52 % come often near both ends
EVAL_SEED = 0  # noise of an evaluation: the same each time, so that curves show the model and not the draw


def one_cycle(passed: float) -> float:
    """The learning rate's share of its highest, once `passed` of the budget, in (0, 1), has been spent.

    Up in a straight line over the first tenth, down to 0 as half a cosine. The rise lets Adam's averages
    settle before the steps are long; the fall takes out the noise that a constant rate leaves in the weights.
    Smith & Topin 2018; the cosine: Loshchilov & Hutter 2017.
    """
    if passed < RISE:
        return passed / RISE
    return 0.5 + 0.5 * math.cos(math.pi * (passed - RISE) / (1 - RISE))


SCHEDULES: dict[str, Callable[[float], float]] = {"one-cycle": one_cycle, "constant": lambda passed: 1.0}


class Diverged(RuntimeError):
    """The training loss stopped being a finite number."""


class Objective(NamedTuple):
    """What is minimised on one batch, a mean over its rows, and the named parts it is the sum of."""

    loss: Tensor
    parts: Mapping[str, Tensor]


class Streams(NamedTuple):
    """Independent seeds drawn from one."""

    weights: int
    order: int
    noise: int


@dataclass(frozen=True)
class Training:
    """How a torch model is trained. The defaults are `tracking.config.RunConfig`'s."""

    epochs: int
    """Passes over the training rows: a budget, which `patience` may leave unspent."""
    batch_size: int
    """Rows per step."""
    lr: float
    """Adam's learning rate, at its highest."""
    schedule: str
    """How the learning rate goes over the steps of the budget: a name in SCHEDULES."""
    patience: int
    """Stop after so many epochs without a better validation loss; 0 never stops early."""
    seed: int
    """Where the weights, the order of the rows and the noise come from."""
    device: str
    """auto, cpu, cuda or mps."""


def streams(seed: int) -> Streams:
    """Three independent seeds for one `seed` (numpy's SeedSequence)."""
    children = np.random.SeedSequence(seed).spawn(3)
    return Streams(*(int(c.generate_state(1, np.uint64)[0] >> 1) for c in children))


def resolve_device(device: str) -> torch.device:
    """`auto`: CUDA, else Apple's MPS, else the CPU. Raises ValueError for a device that is not here."""
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if here[name]))
    if not here.get(device, False):
        raise ValueError(
            f"device {device!r} is not available here; allowed: auto, {', '.join(k for k in here if here[k])}"
        )
    return torch.device(device)


def cross_entropy(raw: Tensor, x: Tensor) -> Tensor:
    """The binary cross-entropy between x (B, dim1) in [0, 1] and sigmoid(raw): nats, summed over all pixels.

    With a = |raw| it is (a + raw) / 2 - log sigmoid(a) - x · raw: stable, with the right gradient at 0 too. It is
    `F.binary_cross_entropy_with_logits` to rounding; that takes log1p, for which torch has no vector code on
    x86, and was a third of a VAE's step.
    """
    a = raw.abs()
    return 0.5 * (a + raw).sum() - a.sigmoid().log().sum() - torch.dot(x.reshape(-1), raw.reshape(-1))


def suited_output(x: Rows) -> tuple[str, str]:
    """The output that `auto` means for rows x (N, dim1), `sigmoid` or `linear`, and why.

    A sigmoid where a quarter of the columns come near both 0 and 1, in 2 % of their rows each. What lies in a small
    part of [0, 1], such as shares of a whole or a long tail, it learns next to nothing of.
    """
    if not in_unit_interval(x):
        return "linear", f"the data lie in [{x.min():.4g}, {x.max():.4g}]"
    varying = int((x.min(axis=0) < x.max(axis=0)).sum())
    often = np.minimum((x <= NEAR).mean(axis=0), (x >= 1 - NEAR).mean(axis=0)) >= OFTEN
    reaching = int(often.sum())
    why = f"the data lie in [0, 1], and {reaching} of the {varying} columns that vary come often near both ends"
    return "sigmoid" if reaching >= FAIR_SHARE * varying else "linear", why


class TorchReducer(Reducer):
    """A pair of torch modules, trained by gradient descent.

    Subclasses say what the modules are (`architecture`), what is minimised (`objective`), and which part
    of the encoder's output is the code (`codes_of`). The decoder's last layer is linear; where the output
    is `sigmoid`, this class puts the sigmoid behind it.

    Where the data fill [0, 1] the output is a sigmoid and the data are taken as they are. Else the output is
    linear, and the modules see (x - mean) / scale: the mean of each column over the training rows, and one
    scale for all columns, because a scale per column would change what PCA is compared on. Rows in float64 are
    centred and divided before they become float32, so that no constant in the data costs them digits.
    """

    takes_float64 = True

    def __init__(self, *, dim3: int, loss: str, output: str, training: Training) -> None:
        self.dim3, self.loss, self.output, self.training = dim3, loss, output, training
        self.output_reason = "asked for"
        self.device = resolve_device(training.device)

    @abstractmethod
    def architecture(self, dim1: int) -> tuple[nn.Module, nn.Module]:
        """Fresh encoder (B, dim1) -> (B, ·) and decoder (B, dim3) -> (B, dim1), without a last sigmoid."""

    @abstractmethod
    def codes_of(self, encoded: Tensor) -> Tensor:
        """The deterministic code (B, dim3) in the encoder's output."""

    @abstractmethod
    def objective(self, x: Tensor, noise: torch.Generator) -> Objective:
        """What to minimise on the rows x (B, dim1), in the modules' units."""

    @abstractmethod
    def default_loss(self, output: str) -> str:
        """`mse` or `bce`: what `--loss auto` means under an output of `sigmoid` or `linear`."""

    def advice(self, first: Mapping[str, Tensor], rows: int) -> str:
        """What to do about a loss that is not finite, by the parts of its epoch's first batch and the epoch's rows."""
        return "; try a smaller --lr"

    def after_fit(self, codes: Array) -> None:
        """Learn what sampling needs from the codes (N, dim3) of the training rows; nothing by default."""

    @final
    def fit(
        self,
        x: Rows,
        y: Labels | None = None,
        *,
        x_val: Rows | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> Self:
        """Train on x (N, dim1); see `Reducer.fit`.

        With `patience` > 0 training stops once the validation loss has not improved for that many
        epochs, and the best epoch's weights are kept. Raises ValueError for a loss or an output that the
        data do not allow, Diverged when the loss is no longer finite.
        """
        self._settle(x)
        seeds = streams(self.training.seed)
        # The global generator is what nn.Linear and a user's dropout draw from; it is put back after.
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.manual_seed(seeds.weights)
            self._build()
            rows = self._to_modules(x)
            rows_val = None if x_val is None else self._to_modules(x_val)
            self._train(rows, rows_val, seeds, on_epoch)
        self.after_fit(self.encode(x))
        return self

    @final
    def check(self, x: Rows) -> None:
        """Raise ValueError where a sigmoid can't reach the data, or BCE is not defined on them."""
        unit = in_unit_interval(x)
        if self.output == "sigmoid" and not unit:
            raise ValueError(f"output sigmoid needs data in [0, 1], and these lie in [{x.min():.4g}, {x.max():.4g}]")
        if self.loss == "bce" and (self.output == "linear" or not unit):
            raise ValueError(
                f"loss bce needs a sigmoid output and data in [0, 1]; "
                f"here the output is {self.output} and the data lie in [{x.min():.4g}, {x.max():.4g}]"
            )

    @final
    def encode(self, x: Rows) -> Array:
        """Codes (N, dim3) of x (N, dim1)."""
        return self._in_blocks(lambda b: self.codes_of(self.encoder(self._to_modules(b))), x)

    @final
    def decode(self, z: Array) -> Rows:
        """Rows (N, dim1), in the data's units, of codes z (N, dim3)."""
        return self._to_data(self._in_blocks(lambda b: self._output(self.decoder(self._tensor(b))), z))

    @final
    def logits(self, z: Array) -> Array:
        """The decoder's output before any sigmoid, (N, dim1), of codes z (N, dim3)."""
        return self._in_blocks(lambda b: self.decoder(self._tensor(b)), z)

    @final
    def parameter_count(self) -> int:
        """The trainable numbers of encoder and decoder."""
        return sum(p.numel() for p in self._network.parameters() if p.requires_grad)

    def facts(self) -> dict[str, str]:
        """Loss, output, learning rate, device and scaling, as `auto` came out, and why the output."""
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
        """The weights, how the data are scaled, and what sampling needs: see `Reducer.state`."""
        held = {k: v for k, v in vars(self).items() if isinstance(v, str | int | float | np.ndarray)}
        weights = {f"weights/{k}": v.cpu().numpy() for k, v in self._network.state_dict().items()}
        return {k: np.asarray(v) for k, v in held.items()} | weights

    @final
    def weight_shapes(self, dim1: int) -> dict[str, tuple[int, ...]]:
        """The shapes of the weights in `state`, of a model for rows (N, dim1); without memory, whatever its size."""
        with torch.device("meta"):
            pair = self.architecture(dim1)
        return {
            f"weights/{part}.{name}": tuple(tensor.shape)
            for part, module in zip(("encoder", "decoder"), pair, strict=True)
            for name, tensor in module.state_dict().items()
        }

    @final
    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> Self:
        """See `Reducer.restore`; the device is this machine's, not the one that trained."""
        super().restore({k: v for k, v in state.items() if not k.startswith("weights/")})
        with torch.random.fork_rng(devices=[]):  # weights drawn here are overwritten at once
            self._build()
        self._network.load_state_dict(
            {
                k.removeprefix("weights/"): torch.from_numpy(np.array(v))
                for k, v in state.items()
                if k.startswith("weights/")
            }
        )
        self._network.eval()
        return self

    @final
    def reconstruction(self, raw: Tensor, x: Tensor) -> Tensor:
        """The reconstruction term, averaged over the rows x (B, dim1), of the decoder's output `raw`.

        `mse`: squared error averaged over pixels. `bce`: nats per row, summed over pixels.
        """
        if self.loss == "mse":
            return F.mse_loss(self._output(raw), x)
        return cross_entropy(raw, x) / len(x)

    def _settle(self, x: Rows) -> None:
        """Resolve `auto` and fit the scaling."""
        self.check(x)
        if self.output == "auto":
            asked = "sigmoid", "loss bce needs it"
            self.output, self.output_reason = asked if self.loss == "bce" else suited_output(x)
        if self.loss == "auto":
            self.loss = self.default_loss(self.output)
        self.dim1 = x.shape[1]
        self.mean, self.scale = np.zeros(self.dim1, x.dtype), 1.0
        if self.output == "linear":
            self.mean = x.mean(axis=0, dtype=np.float64).astype(x.dtype)
            self.scale = math.sqrt(x.var(axis=0, dtype=np.float64).mean()) or 1.0

    def _build(self) -> None:
        self.encoder, self.decoder = self.architecture(self.dim1)
        self._network = nn.ModuleDict({"encoder": self.encoder, "decoder": self.decoder}).to(self.device)

    def _to_modules(self, x: Rows) -> Tensor:
        return self._tensor(x if self.output == "sigmoid" else (x - self.mean) / self.scale)

    def _tensor(self, x: Rows) -> Tensor:
        with warnings.catch_warnings():  # a study's rows are read-only, and nothing here writes to them
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(self.device)

    def _output(self, raw: Tensor) -> Tensor:
        return torch.sigmoid(raw) if self.output == "sigmoid" else raw

    def _to_data(self, out: Array) -> Rows:
        """Of the modules' output (N, dim1), after any sigmoid, the rows that it stands for."""
        return out if self.output == "sigmoid" else out * self.scale + self.mean

    def _in_blocks(self, function: Callable[[Rows], Tensor], rows: Rows) -> Array:
        """Function of every row, a block at a time, as one numpy array."""
        blocks = [rows[i : i + EVAL_ROWS] for i in range(0, len(rows), EVAL_ROWS)]
        was_training = self._network.training
        self._network.eval()
        with torch.inference_mode():
            out = [function(b).cpu().numpy() for b in blocks]
        self._network.train(was_training)
        return np.concatenate(out)

    def _train(self, x: Tensor, x_val: Tensor | None, seeds: Streams, on_epoch: OnEpoch | None) -> None:
        order = torch.Generator().manual_seed(seeds.order)
        noise = torch.Generator(device=self.device).manual_seed(seeds.noise)
        steps = self.training.epochs * math.ceil(len(x) / self.training.batch_size)
        share = SCHEDULES[self.training.schedule]
        # half a step on, so that neither the first nor the last step is lost
        optimizer = Adam(self._network.parameters(), lambda step: self.training.lr * share((step + 0.5) / steps))
        best, best_weights, waited = math.inf, None, 0
        self.epochs_trained = 0
        for number in range(1, self.training.epochs + 1):
            self._network.train()
            loss, first = self._one_epoch(x, optimizer, order, noise)
            self.epochs_trained = number
            if not math.isfinite(loss):
                raise Diverged(f"the training loss became {loss} in epoch {number}{self.advice(first, len(x))}")
            if not optimizer.is_finite():
                raise Diverged(f"the squared gradients became infinite in epoch {number}{self.advice(first, len(x))}")
            metrics = {"train/loss": loss}
            if x_val is not None:
                metrics |= self._evaluate(x_val)
            if on_epoch is not None:
                on_epoch(Epoch(number, self.training.epochs, metrics))
            if self.training.patience > 0 and x_val is not None:
                if metrics["val/loss"] < best:
                    best, waited = metrics["val/loss"], 0
                    best_weights = copy.deepcopy(self._network.state_dict())
                else:
                    waited += 1
                if waited >= self.training.patience:
                    break
        if best_weights is not None:
            self._network.load_state_dict(best_weights)
        self._network.eval()

    def _one_epoch(
        self,
        x: Tensor,
        optimizer: Adam,
        order: torch.Generator,
        noise: torch.Generator,
    ) -> tuple[float, Mapping[str, Tensor]]:
        """The loss of one pass over x, averaged over its rows, each batch before its own step; the first's parts."""
        total = torch.zeros((), device=self.device)
        first: Mapping[str, Tensor] = {}
        for rows in torch.randperm(len(x), generator=order).to(self.device).split(self.training.batch_size):
            batch = x.index_select(0, rows)  # (B, dim1)
            optimizer.clear()
            loss, parts = self.objective(batch, noise)
            first = first or {name: part.detach() for name, part in parts.items()}
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)  # on the device: asking for a number would wait for it
        return total.item() / len(x), first

    @torch.inference_mode()
    def _evaluate(self, x: Tensor) -> dict[str, float]:
        """`val/loss` and its parts, one seeded draw, and `val/mse` of the deterministic reconstruction."""
        self._network.eval()
        noise = torch.Generator(device=self.device).manual_seed(EVAL_SEED)
        totals: dict[str, float] = {}
        for block in x.split(EVAL_ROWS):
            objective = self.objective(block, noise)
            x_hat = self._output(self.decoder(self.codes_of(self.encoder(block))))
            mse = F.mse_loss(x_hat, block)
            for name, value in {"loss": objective.loss, "mse": mse, **objective.parts}.items():
                totals[name] = totals.get(name, 0.0) + value.item() * len(block)
        totals["mse"] *= self.scale**2  # in the data's units, which may be too large or small for float32
        return {f"val/{name}": total / len(x) for name, total in totals.items()}
