"""A lost step, from training to the name of the module, on the command line."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from gradwarden.clip.attach import attach
from gradwarden.clip.rules.max_norm import MaxNorm

pytest.importorskip("safetensors")

CODE = """
import torch
from torch import nn


class Entropy(nn.Module):
    def forward(self, p):
        return -(p * p.log()).sum()


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(2, 3, bias=False)
        self.act = nn.Softmax(-1)
        self.head = Entropy()

    def forward(self, x):
        return self.head(self.act(self.body(x)))


def loss(model, batch):
    return model(batch)


def factory():
    return Net(), loss


def other():
    return nn.Linear(1, 1), loss


def raises():
    return Net(), lambda model, batch: model(batch.x)


def model():
    return Net()


def wrong():
    return 3, 4
"""


@pytest.fixture
def dump(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Of a run whose third batch makes a probability zero."""
    (tmp_path / "lost_net.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    space: dict[str, Any] = {}
    exec(CODE, space)  # noqa: S102
    torch.manual_seed(0)
    model = space["Net"]()
    with torch.no_grad():
        model.body.weight.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    guard = attach(optimizer, MaxNorm(1.0), model=model, dump="dumps")
    for x in ([1.0, 1.0], [1.0, 2.0], [300.0, 1.0]):
        batch = torch.tensor(x)
        optimizer.zero_grad()
        value = space["loss"](model, batch)
        value.backward()
        guard.observe(value, batch)
        optimizer.step()
    guard.detach()
    return "dumps/step-3"


def test_the_module_at_fault_is_named(run: Any, dump: str) -> None:
    code, out, err = run("replay", dump, "lost_net.py:factory")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first == "step 3: head (Entropy), in the forward pass"
    assert second == "its output holds 1 NaN of 1 values, from inputs in [0, 1]"


def test_a_note_on_what_differs(run: Any, dump: str) -> None:
    path = Path(dump) / "dump.json"
    text = path.read_text()
    assert '{"float": "nan"}' in text
    path.write_text(text.replace('{"float": "nan"}', '{"float": "2.0"}'))
    _, out, _ = run("replay", dump, "lost_net.py:factory")
    assert out.splitlines()[2] == "note: the loss was 2 in the run and is nan now"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dumps/step-9", "lost_net.py:factory"], "dumps/step-9 is not a dump"),
        (["dumps", "lost_net.py:factory"], "did you mean dumps/step-3?"),
        (["dumps/step-3", "lost_net.py:nothing"], "lost_net.py has no 'nothing'"),
        (["dumps/step-3", "nowhere.py:factory"], "there is no file nowhere.py"),
        (["dumps/step-3", "lost_net.py:model"], "returned Net, expected (model, loss)"),
        (["dumps/step-3", "lost_net.py:wrong"], "returned (int, int), expected a torch.nn.Module"),
        (["dumps/step-3", "lost_net.py:other"], "the model is not that of the dump"),
        (["dumps/step-3", "lost_net.py:raises"], "the loss function raised AttributeError"),
    ],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_bad_input_is_one_sentence_and_exit_code_2(
    run: Any, dump: str, words: list[str], sentence: str
) -> None:
    code, out, err = run("replay", *words)
    assert (code, out) == (2, "")
    assert err.startswith("gradwarden: ")
    assert err.count("\n") == 1
    assert sentence in err


PAGE = Path(__file__).parents[2] / "docs" / "diagnose.md"


def test_the_commands_of_the_page_on_lost_runs_do_what_it_says(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    programs = [code for language, code in blocks if language == "python"]
    Path("train.py").write_text(programs[0])
    exec("\n".join(programs), {"__name__": "page"})  # noqa: S102
    lines = [line for language, code in blocks if language == "bash" for line in code.splitlines()]
    said = {words[1]: run(*words[1:]) for words in map(str.split, lines)}
    assert {name: ended.code for name, ended in said.items()} == {
        "watch": 0,
        "replay": 0,
        "advise": 0,
    }
    assert "step 150, non-finite: the gradient is not finite in" in said["watch"].out
    assert said["replay"].out.startswith("step 150: entropy (Entropy), in the forward pass\n")
    assert "role" in said["advise"].out
