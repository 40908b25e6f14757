"""CIFAR-10's ResNet-18 that comes with pyautoattack, and 20 photos that come with foolbox."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def resnet() -> nn.Module:
    """11.2 million weights, trained plainly; in eval mode, on the CPU."""
    spec = importlib.util.find_spec("pyautoattack")
    assert spec is not None
    places = spec.submodule_search_locations
    assert places
    folder = Path(places[0]) / "examples"
    source = importlib.util.spec_from_file_location("cifar_resnet18", folder / "resnet.py")
    assert source is not None
    assert source.loader is not None
    module: Any = importlib.util.module_from_spec(source)
    source.loader.exec_module(module)
    net: nn.Module = module.ResNet18().eval()
    net.load_state_dict(torch.load(folder / "model_test.pt", map_location="cpu", weights_only=True))
    return net


def photos(net: nn.Module) -> tuple[Tensor, Tensor]:
    """x [20, 3, 32, 32] from 0 to 1, y [20]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox: Any = importlib.import_module("foolbox")
        wrapped = foolbox.PyTorchModel(net, bounds=(0, 1), device="cpu")
        x, y = foolbox.utils.samples(wrapped, dataset="cifar10", batchsize=20)
    return x, y.long()
