"""On a CUDA device: CIFAR-10's ResNet-18 that comes with pyautoattack, and the same ledger as ever."""

from __future__ import annotations

import pytest
import torch
from cifar_resnet import photos, resnet

from gradwarden.attack.evaluate import evaluate
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


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
