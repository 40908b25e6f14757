"""What an audit does with models and data that are wrong: one sentence, or what it says of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradwarden.audit.examine import examine
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.examination import Examination
from gradwarden.core.goal import Evades, Targeted
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.1))
WIDE = Threat(ball=Linf(0.6))  # nearly everything falls at once: for tests of what is left behind


@cache
def data(n: int = 16) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 3, 4, generator=torch.Generator().manual_seed(1))
    return x, x.flatten(1)[:, :4].argmax(1)


@cache
def net() -> nn.Module:
    """Right about all of the samples."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 4))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    x, y = data(64)
    for _ in range(80):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    optimizer.zero_grad()
    return model.eval()


class Behind(nn.Module):
    """The net, with `after` on its logits and `before` on its input."""

    def __init__(
        self,
        after: Callable[[Tensor], Any] = lambda z: z,
        before: Callable[[Tensor], Tensor] = lambda x: x,
    ) -> None:
        super().__init__()
        self.net, self.after, self.before = copy.deepcopy(net()), after, before
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.after(self.net(self.before(x)))


def audit(model: nn.Module, threat: Threat = THREAT, n: int = 8, **options: Any) -> Examination:
    return examine(model, *data(n), threat, budget="quick", **options)


@cache
def plain() -> Examination:
    return audit(net())


@cache
def plain_wide() -> Examination:
    return audit(net(), WIDE)


class Hungry(nn.Module):
    def forward(self, x: Tensor, *, mode: str) -> Tensor:
        raise AssertionError(mode)


class Changes(nn.Module):
    """One class fewer from the call number `last` on."""

    def __init__(self, last: int) -> None:
        super().__init__()
        self.net, self.left = net(), last
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.left -= 1
        logits: Tensor = self.net(x)
        return logits if self.left > 0 else logits[:, :3]


def _bad() -> list[tuple[dict[str, Any], str]]:
    x, y = data()
    one, alone = "the model returns one number a sample", "the model cannot be called with x alone"
    other = "the model returns logits of another shape from call to call"
    lazy = nn.Sequential(nn.Flatten(), nn.LazyLinear(4)).eval()
    evades = Threat(ball=Linf(0.1), goal=Evades())
    return [
        ({"model": Behind(lambda z: z * float("nan"))}, "NaN or infinite logits for every sample"),
        ({"model": Behind(lambda z: z[:, :1]), "y": y * 0}, one),
        ({"model": Behind(lambda z: z[:, 0]), "y": y * 0}, one),
        ({"model": Behind(lambda z: z[:, :, None])}, r"floating-point logits \[16, classes\]"),
        ({"model": Behind(lambda z: z[:, :0])}, "the model returns 0 logits a sample"),
        ({"model": Behind(lambda z: {"logits": z})}, "got dict: wrap it"),
        ({"model": Behind(lambda z: z.to("meta"))}, "returns logits on meta for x on cpu"),
        ({"model": Behind(lambda z: z if len(z) > 1 else z[0])}, other),
        ({"model": Changes(2), "y": y % 3}, other),
        ({"model": Changes(9), "y": y % 3}, other),
        ({"model": Hungry().eval()}, f"{alone}.*'mode'.*: bring x to"),
        ({"model": net(), "x": x[:, :, :3]}, f"{alone}.*mat1 and mat2"),
        ({"model": copy.deepcopy(net()).double()}, f"{alone}, torch.float32"),
        ({"model": lazy}, "lazy modules whose weights do not exist yet"),
        ({"x": (x * 255).long()}, "x must be floating point"),
        ({"x": x.numpy()}, "x must be a tensor, got ndarray"),
        ({"y": y.int()}, r"class indices of shape \(16,\), got torch.int32"),
        ({"y": y.to("meta")}, "x is on cpu and y on meta"),
        ({"ids": [7] * 16}, "ids must be another one for each sample, got 7 twice"),
        ({"ids": range(3)}, "ids must name each of the 16 samples, got 3"),
        (
            {"model": Behind(lambda z: z[:, :2]), "y": y * 0, "threat": evades},
            r"concerns none of the 16 samples, whose labels are \[0\]",
        ),
        (
            {"y": y * 0, "threat": Threat(ball=Linf(0.1), goal=Targeted(0))},
            r"Targeted\(label=0\) concerns none",
        ),
    ]


@pytest.mark.parametrize(("change", "says"), _bad())
def test_it_is_one_sentence(change: dict[str, Any], says: str) -> None:
    x, y = data()
    given: dict[str, Any] = {"model": net(), "x": x, "y": y, "threat": THREAT} | change
    with pytest.raises(BadInput, match=says) as raised:
        examine(**given, budget="quick")
    assert "\n" not in str(raised.value)
    assert all(not module._forward_hooks for module in given["model"].modules())


def test_answers_that_are_nan_for_some_count_as_wrong() -> None:
    x, _ = data(8)
    bad = x[:, 0, 0] > 0.5

    def some(x: Tensor) -> Tensor:
        return x.where((x[:, 0, 0] < 0.5)[:, None, None], float("nan"))

    found = audit(Behind(before=some))
    assert found.clean.value == 1 - bad.double().mean()
    said = f"answers {int(bad.sum())} of 8 samples with NaN or infinity"
    assert any(said in note for note in found.notes)
    assert not {w.sample for w in found.witnesses} & set(bad.nonzero()[:, 0].tolist())


def test_probabilities_are_found_and_the_audit_goes_on() -> None:
    found = audit(Behind(lambda z: z.softmax(1)))
    assert "softmax-tail" in {finding.check for finding in found.findings}
    assert found.adaptive.value <= plain().adaptive.value


def test_log_probabilities_are_found_and_hide_nothing() -> None:
    found = audit(Behind(lambda z: z.log_softmax(1)))
    (tail,) = [finding for finding in found.findings if finding.check == "softmax-tail"]
    assert tail.cure == "not needed"
    assert "most of its gradient" not in tail.why
    assert found.adaptive == plain().adaptive
    assert found.verdict == plain().verdict


def test_a_model_that_is_wrong_throughout_and_a_claim_beyond_its_accuracy() -> None:
    x, y = data()
    y = net()(x).argmax(1)
    found = examine(net(), x, (y + 1) % 4, THREAT, budget="quick")
    assert found.verdict == "inconclusive"
    assert found.reasons[0].startswith("The model gets no sample right, so there is no robustness")
    claimed = examine(net(), x, (y + 1) % 4, THREAT, budget="quick", claim=0.5)
    assert claimed.verdict == "overstated"
    assert "lies above the accuracy without any attack: 0.0 %" in claimed.reasons[0]


def test_a_ball_that_covers_the_box_leaves_nothing_and_says_so() -> None:
    found = audit(net(), Threat(ball=Linf(2.0)))
    assert found.adaptive.value == 0.0
    assert any("The ball covers all" in note for note in found.notes)
    assert not any("The ball covers all" in note for note in plain_wide().notes)


def test_labels_of_one_class_are_told() -> None:
    x, y = data(64)
    rows = (y == 0).nonzero()[:8, 0]
    found = examine(net(), x[rows], y[rows], THREAT, budget="quick")
    assert any("Every label is 0" in note for note in found.notes)


class Fails(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise KeyError("no backward here")


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        apply: Callable[[Tensor], Tensor] = Fails.apply
        return apply(x)


def test_a_backward_that_raises_is_a_finding_and_gone_around() -> None:
    found = audit(nn.Sequential(Failing(), net()).eval())
    (finding,) = found.findings
    assert (finding.check, finding.module) == ("no-gradient", "0")
    assert "KeyError: 'no backward here'" in finding.why
    assert "The attack went through module '0'" in finding.remedy
    assert found.adaptive.value < found.naive.value


def quietly(model: nn.Module, mode: Any) -> nn.Module:
    """`model` whose forward runs under `mode`, as a decorator of its forward would make it."""

    class Quiet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = model

        @mode  # type: ignore[untyped-decorator]
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x)
            return out

    return Quiet().eval()


@pytest.mark.parametrize("mode", [torch.no_grad(), torch.inference_mode()])
def test_a_forward_without_a_graph_is_gone_around(mode: Any) -> None:
    found = audit(quietly(net(), mode))
    assert ("no-gradient", "") in {(f.check, f.module) for f in found.findings}
    assert found.adaptive.value < found.naive.value


def test_the_caller_may_have_switched_gradients_off_or_x_on() -> None:
    x, y = data(8)
    plain = plain_wide()
    with torch.inference_mode():
        assert audit(net(), WIDE).adaptive == plain.adaptive
        inference = x.clone()
    leaf = x.clone().requires_grad_()
    for given in (inference, leaf):
        assert examine(net(), given, y, WIDE, budget="quick").adaptive == plain.adaptive
    with torch.no_grad():
        assert audit(net(), WIDE).adaptive == plain.adaptive
    assert leaf.grad is None


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_precisions(dtype: torch.dtype) -> None:
    x, y = data(8)
    model = copy.deepcopy(net()).to(dtype)
    found = examine(model, x.to(dtype), y, WIDE, budget="quick")
    assert found.adaptive == plain_wide().adaptive
    assert found.verdict == "consistent"
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}


@cache
def wrapped() -> dict[str, nn.Module]:
    x, _ = data()
    with warnings.catch_warnings():  # both are deprecated, and in use
        warnings.simplefilter("ignore")
        found: dict[str, nn.Module] = {"script": torch.jit.script(net())}
        found["trace"] = torch.jit.trace(net(), x)
    compiled: Any = torch.compile(copy.deepcopy(net()), backend="eager")
    found["compile"] = compiled
    found["parallel"] = nn.DataParallel(net()).eval()
    return found


@pytest.mark.parametrize(
    "how", ["script", "trace", "parallel", pytest.param("compile", marks=pytest.mark.slow)]
)
def test_compiled_and_wrapped_models_are_like_the_plain_one(how: str) -> None:
    with warnings.catch_warnings():  # of torch's own compiler
        if how == "compile":
            warnings.simplefilter("ignore")
        found = audit(wrapped()[how])
    assert (found.verdict, found.adaptive) == (plain().verdict, plain().adaptive)


def test_what_a_model_prints_does_no_harm(capsys: pytest.CaptureFixture[str]) -> None:
    def loud(z: Tensor) -> Tensor:
        print(len(z))
        return z

    assert audit(Behind(loud), WIDE).adaptive == plain_wide().adaptive
    assert capsys.readouterr().out


class Forgetful(nn.Module):
    """Does something to itself with every question."""

    moving: Tensor
    count: Tensor

    def __init__(self, change: str) -> None:
        super().__init__()
        self.net, self.change, self.calls = copy.deepcopy(net()), change, 0
        self.register_buffer("moving", torch.zeros(4))
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(x)
        with torch.no_grad():
            if self.change == "counter":
                self.count += 1
                self.calls += 1
            elif self.change == "moving":
                self.moving.add_(logits.mean(0), alpha=0.5)
            elif self.change == "another":
                self.moving = self.moving + 0.5
            elif self.change == "weight":
                self.get_parameter("net.1.weight").mul_(0.99)
            elif self.change == "mode":
                self.net.train()
                self.get_parameter("net.1.bias").requires_grad_(False)
            elif self.change == "more" and self.calls == 0:
                self.register_buffer("later", torch.ones(3))
                self.calls = 1
        return logits + self.moving * torch.arange(4)


CHANGES = ("counter", "moving", "another", "mode", "more")  # "weight" is for the one below


def state(model: nn.Module) -> dict[str, Any]:
    """All that an audit must leave alone, copied."""
    found: dict[str, Any] = {f"value {k}": v.clone() for k, v in model.state_dict().items()}
    for name, p in model.named_parameters():
        found[f"flags {name}"] = (p.requires_grad, None if p.grad is None else p.grad.clone())
    for name, module in model.named_modules():
        hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")
        counts = [len(getattr(module, kind)) for kind in hooks]
        found[f"module {name}"] = (module.training, getattr(module, "calls", 0), counts)
    return found


def same(one: Any, two: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(two, Tensor) and torch.equal(one, two)
    if isinstance(one, tuple):
        return all(map(same, one, two))
    return bool(one == two)


def unchanged(model: nn.Module, run: Callable[[], object]) -> None:
    before = state(model)
    run()
    after = state(model)
    assert before.keys() == after.keys()
    assert [name for name in before if not same(before[name], after[name])] == []


def _left_alone() -> dict[str, Callable[[], nn.Module]]:
    found: dict[str, Callable[[], nn.Module]] = {
        change: partial(Forgetful, change) for change in CHANGES
    }
    found["no graph"] = lambda: quietly(copy.deepcopy(net()), torch.no_grad())
    found["probabilities"] = lambda: Behind(lambda z: z.softmax(1))
    found["draws"] = lambda: Behind(before=lambda x: x + 0.01 * torch.randn_like(x))
    found["part in train mode"] = lambda: nn.Sequential(Behind(), nn.Identity().train())
    return found


@pytest.mark.parametrize("kind", _left_alone())
def test_the_model_is_left_as_it_was(kind: str) -> None:
    model = _left_alone()[kind]().requires_grad_(True)
    model.training = False
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    next(model.parameters()).requires_grad_(False)
    unchanged(model, lambda: audit(model, WIDE, 3))


def test_and_so_it_is_where_the_audit_breaks_off() -> None:
    model = Forgetful("weight")
    x, y = data(3)

    def stopped() -> None:
        def told(done: int, total: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            examine(model, x, y, THREAT, budget="quick", on_progress=told)

    unchanged(model, stopped)


@pytest.mark.parametrize("change", ["moving", "another"])
def test_a_model_that_remembers_is_told_and_never_called_honest(change: str) -> None:
    found = audit(Forgetful(change), WIDE, 3)
    (finding,) = [one for one in found.findings if one.check == "remembers"]
    assert "changes what the next one is answered" in finding.why
    assert found.verdict not in ("consistent", "certified")
    (gate,) = [gate for gate in found.gates if gate.name == "findings"]
    assert gate.state == "red"
    assert "surrogate()" not in gate.settle


def test_a_counter_is_no_memory() -> None:
    found = audit(Forgetful("counter"), WIDE, 3)
    assert found.findings == ()
