"""Models trained as one are the models trained one by one."""

import copy

import numpy as np
import torch
from torch.func import stack_module_state

from benchmarks.stack import Masked, gradients, masks, one_after_another, stacked

X = torch.from_numpy(np.random.default_rng(0).random((70, 784), dtype=np.float32))
DIM3 = [2, 7, 20]


def test_stacked_gradients_are_those_of_each_model() -> None:
    models, mask = [Masked() for _ in DIM3], masks(DIM3, "cpu")
    assert mask.sum(dim=1).tolist() == DIM3
    weights, _ = stack_module_state(models)
    found, losses = gradients(copy.deepcopy(models[0]).to("meta"))(weights, mask, X)
    for k, model in enumerate(models):
        loss = torch.nn.functional.mse_loss(model(X, mask[k]), X)
        loss.backward()
        assert torch.isclose(losses[k], loss, rtol=1e-5)
        for name, weight in model.named_parameters():
            assert torch.allclose(found[name][k], weight.grad, atol=1e-7)


def test_masked_latents_get_no_gradient_and_both_ways_train() -> None:
    models, mask = [Masked() for _ in DIM3], masks(DIM3, "cpu")
    before = [copy.deepcopy(m) for m in models]
    assert one_after_another(models, mask, X, 1) > 0
    last = models[0].encoder[2].weight
    assert torch.equal(last[2:], before[0].encoder[2].weight[2:])
    assert not torch.equal(last[:2], before[0].encoder[2].weight[:2])
    assert stacked(before, mask, X, 1) > 0
