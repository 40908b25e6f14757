"""On a CUDA device: CIFAR-10's ResNet-18 that comes with pyautoattack, and the same ledger as ever."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.evaluate import evaluate
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def resnet() -> nn.Module:
    """11.2 million weights, trained plainly."""
    spec = importlib.util.find_spec("pyautoattack")
    assert spec is not None
    places = spec.submodule_search_locations
    assert places
    folder = Path(places[0]) / "examples"
    source = importlib.util.spec_from_file_location("cifar_resnet", folder / "resnet.py")
    assert source is not None
    assert source.loader is not None
    module: Any = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    net: nn.Module = module.ResNet18().eval()
    net.load_state_dict(torch.load(folder / "model_test.pt", map_location="cpu", weights_only=True))
    return net


def photos(net: nn.Module) -> tuple[Tensor, Tensor]:
    """20 of CIFAR-10 that come with foolbox."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox: Any = importlib.import_module("foolbox")
        wrapped = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
        x, y = foolbox.utils.samples(wrapped, dataset="cifar10", batchsize=20)
    return x, y.long()


def test_a_plain_resnet_falls_and_the_ledger_is_the_same_twice() -> None:
    net = resnet()
    x, y = photos(net)
    threat = Threat(ball=Linf(8 / 255))
    net, x, y = net.to("cuda"), x.to("cuda"), y.to("cuda")
    ledger = evaluate(net, x, y, threat)
    print(f"{torch.cuda.get_device_name()}: {ledger.seconds:.1f} s, {ledger.backwards} backwards")
    assert ledger.clean_accuracy.value == 1.0
    assert ledger.accuracy.value == 0.0
    assert evaluate(net, x, y, threat).broken == ledger.broken
