"""What a checkpoint holds: inside the optimizer's state, keyed by name, bit-exact, plain torch."""

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.clip.attach import Guard, attach
from gradwarden.clip.rules.adaptive import Adaptive
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.core.errors import BadInput

RUN = """
import sys, torch, gradwarden as gw
start, stop, load, save = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
torch.manual_seed(0)
torch.set_num_threads(1)
net = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
optimizer = torch.optim.AdamW(net.parameters(), lr=0.05)
gw.clip.attach(optimizer, {"0.*": gw.clip.ZScore(warmup=5), "*": gw.clip.Adaptive(scope="tensor")},
               model=net)
if load != "-":
    saved = torch.load(load, weights_only=True)
    net.load_state_dict(saved["net"])
    optimizer.load_state_dict(saved["optimizer"])
for i in range(start, stop):
    rng = torch.Generator().manual_seed(i)
    optimizer.zero_grad()
    x = torch.randn(6, 4, generator=rng)
    factor = float("nan") if i % 37 == 11 else 100.0 if i % 23 == 5 else 1.0
    (net(x).square().mean() * factor).backward()
    optimizer.step()
torch.save({"net": net.state_dict(), "optimizer": optimizer.state_dict()}, save)
"""


def flat(tree: Any) -> list[Any]:
    """Leaves of nested dictionaries and lists, tensors as bytes."""
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in [key, *flat(tree[key])]]
    if isinstance(tree, list | tuple):
        return [leaf for item in tree for leaf in flat(item)]
    return [tree.numpy().tobytes()] if isinstance(tree, Tensor) else [tree]


def test_resume_in_a_new_process_is_bit_exact(tmp_path: Path) -> None:
    """200 steps are 100, a checkpoint, and 100 in another process."""
    (tmp_path / "run.py").write_text(RUN)

    def run(start: int, stop: int, load: str, save: str) -> Any:
        paths = [str(tmp_path / p) if p != "-" else p for p in (load, save)]
        command = [sys.executable, str(tmp_path / "run.py"), str(start), str(stop), *paths]
        env = {"PYTHONPATH": ":".join(sys.path)}
        subprocess.run(command, check=True, timeout=120, env=env)
        return torch.load(tmp_path / save, weights_only=True)

    whole = run(0, 200, "-", "whole.pt")
    run(0, 100, "-", "half.pt")
    assert flat(run(100, 200, "half.pt", "resumed.pt")) == flat(whole)


def setting(
    names: str = "ab", rule: Any = None, scale: float = 1.0
) -> tuple[dict[str, nn.Parameter], torch.optim.Optimizer, Guard]:
    params = {name: nn.Parameter(torch.zeros(2)) for name in names}
    optimizer = torch.optim.SGD(params.items(), lr=0.0, momentum=0.9)
    guard = attach(optimizer, rule or Quantile(q=0.5, window=5, scope="tensor"))
    for i in range(3):
        for k, p in enumerate(params.values()):
            p.grad = torch.full((2,), scale * (1 + i + 10 * k))
        optimizer.step()
    return params, optimizer, guard


def test_plain_torch_loads_a_checkpoint_with_our_key() -> None:
    params, optimizer, _ = setting()
    plain = torch.optim.SGD(params.items(), lr=0.0, momentum=0.9)
    plain.load_state_dict(optimizer.state_dict())
    want, got = optimizer.state_dict()["state"], plain.state_dict()["state"]
    assert flat(want) == flat(got)


def test_a_checkpoint_without_our_key_loads_with_one_warning() -> None:
    params, optimizer, guard = setting()
    plain = torch.optim.SGD(params.items(), lr=0.0, momentum=0.9)
    before = flat(guard.state_dict())
    with pytest.warns(UserWarning, match="no state of gradwarden") as seen:
        optimizer.load_state_dict(plain.state_dict())
    assert len(seen) == 1
    assert flat(guard.state_dict()) == before
    guard.detach()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer.load_state_dict(plain.state_dict())
    assert "gradwarden" not in optimizer.state_dict()


def test_another_order_of_parameters_loads() -> None:
    _, _, first = setting("ab")
    _, _, second = setting("ba", scale=7.0)
    second.load_state_dict(first.state_dict())
    (mine,), (theirs,) = first._engine.parts, second._engine.parts
    torch.testing.assert_close(theirs.state.norms, mine.state.norms.flip(-1), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        ({"names": "ac"}, r"another model: 1 parameters are gone \['b'\], 1 are new \['c'\]"),
        ({"rule": Adaptive(scope="tensor")}, r"expected rule Adaptive\(scope='tensor'\), got Qu"),
        ({"rule": {"a": Adaptive(), "*": Adaptive()}}, "expected 2 rules, got 1"),
    ],
)
def test_a_changed_model_or_rule_is_refused_before_anything_changes(
    other: Any, sentence: str
) -> None:
    _, first, _ = setting()
    _, optimizer, guard = setting(**other)
    before = flat(guard.state_dict()), flat(optimizer.state_dict()["state"])
    with pytest.raises(BadInput, match=sentence):
        optimizer.load_state_dict(first.state_dict())
    assert (flat(guard.state_dict()), flat(optimizer.state_dict()["state"])) == before
