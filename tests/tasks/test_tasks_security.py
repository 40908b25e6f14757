"""What holds of every security task: splits, threat, learning, operating thresholds, metrics."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from gradwarden.attack.pgd import PGD
from gradwarden.core.errors import BadInput, MissingData
from gradwarden.core.goal import Evades, Untargeted
from gradwarden.core.tabular import Tabular
from gradwarden.tasks.breast_cancer import BreastCancer
from gradwarden.tasks.card_fraud import CardFraud
from gradwarden.tasks.card_payments import COLUMNS, payments
from gradwarden.tasks.digits_cnn import DigitsCNN
from gradwarden.tasks.fashion_cnn import FashionCNN
from gradwarden.tasks.image_files import FASHION, signs
from gradwarden.tasks.lane_keeping import LaneKeeping
from gradwarden.tasks.loader import Loader, Split
from gradwarden.tasks.metrics import auroc
from gradwarden.tasks.phishing_sites import PhishingSites
from gradwarden.tasks.pneumonia import Pneumonia
from gradwarden.tasks.task import SecurityTask, logits_of
from gradwarden.tasks.thyroid_panel import ThyroidPanel
from gradwarden.tasks.traffic_signs import TrafficSigns

TASKS: list[Any] = [
    DigitsCNN(epochs=1, images=50),
    PhishingSites(epochs=4),
    CardFraud(),
    BreastCancer(epochs=5),
    ThyroidPanel(epochs=3),
    TrafficSigns(epochs=3),
    Pneumonia(epochs=1),
    FashionCNN(epochs=1, images=2000),
    LaneKeeping(epochs=5, lessons=18, drives=2),
]
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
SHAPES = {
    "digits-cnn": (1, 28, 28),
    "lane-keeping": (6,),
    "phishing": (9,),
    "card-fraud": (29,),
    "breast-cancer": (30,),
    "thyroid": (21,),
    "traffic-signs": (3, 32, 32),
    "pneumonia": (1, 28, 28),
    "fashion-cnn": (1, 28, 28),
}
SIZES = {
    "card-fraud": [45495, 18197, 27297],
    "breast-cancer": [341, 86, 142],
    "pneumonia": [4708, 524, 624],
    "fashion-cnn": [2000, 5000, 10000],
}


def present(task: SecurityTask) -> SecurityTask:
    """Skips the test with the reason where the task's data are not on this machine."""
    try:
        assert all(task.data.values())
    except MissingData as reason:
        pytest.skip(str(reason))
    return task


def trained(task: SecurityTask) -> nn.Module:
    model = task.model(0)
    optimizer = task.optimizer(model)
    for _ in range(task.epochs):
        for x, y in task.loader(0):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()


@each_task
def test_splits_share_no_sample_and_fit_threat_and_model(task: SecurityTask) -> None:
    present(task)
    splits = [task.split(name) for name in ("train", "validation", "test")]
    assert SIZES.get(task.name, [len(s.y) for s in splits]) == [len(s.y) for s in splits]
    rows = []
    for x, y in splits:
        assert (x.shape[1:], x.dtype, y.dtype) == (SHAPES[task.name], torch.float32, torch.int64)
        kinds = y.unique().tolist()
        assert kinds == list(range(len(task.classes))) or task.name == "lane-keeping"
        task.threat.check(x, y)
        rows.append({row.tobytes() for row in x.numpy().reshape(len(x), -1)})
    if task.name not in TWINS:
        assert not rows[0] & rows[1]
        assert not (rows[0] | rows[1]) & rows[2]
    with pytest.raises(BadInput, match="split must be one of train, validation, test, got 'dev'"):
        task.split("dev")
    logits = task.model(0)(task.held_out().x[:3])
    assert logits.shape == (3, len(task.classes))


# Half of the phishing file's rows have a twin, some thyroid panels agree, and Fashion-MNIST and
# PneumoniaMNIST repeat a few images of their own.
TWINS = ("phishing", "thyroid", "fashion-cnn", "pneumonia")


@each_task
def test_training_beats_the_commonest_class_and_repeats_with_the_seed(task: SecurityTask) -> None:
    present(task)
    model = trained(task)
    x, y = task.split("test")
    scores = task.scores(model, "test")
    assert list(scores) == [metric.name for metric in task.metrics]
    if isinstance(task.threat.goal, Evades):
        assert next(iter(scores.values())) > 3 * scores["false-positive rate"]
    else:
        assert scores["accuracy"] > 1.5 * int(y.bincount().max()) / len(y)
    again = trained(task)
    assert torch.equal(logits_of(model, x[:50]), logits_of(again, x[:50]))
    assert not torch.equal(logits_of(task.model(0), x[:9]), logits_of(task.model(1), x[:9]))


@each_task
def test_the_threshold_is_at_the_stated_rate_of_false_alarms(task: SecurityTask) -> None:
    present(task)
    model = task.model(0)
    threat = task.threat_on(model)
    if not isinstance(threat.goal, Evades):
        assert threat == task.threat
        assert threat.goal == Untargeted()
        return
    x, y = task.split("validation")
    flagged = threat.goal.predicted(logits_of(model, x)) == 1
    wrong, rate = int(flagged[y == 0].sum()), rate_of(task)
    others = int((y == 0).sum())
    assert wrong <= rate * others < wrong + 1 + len(y) * 0.02  # ties at the threshold pass
    assert replace(threat, goal=task.threat.goal) == task.threat
    assert set(task.held_out().y.tolist()) == {1}
    assert threat.goal.source == 1


def rate_of(task: Any) -> float:
    return float(task.false_positives)


@each_task
def test_what_the_page_says_of_it(task: SecurityTask) -> None:
    assert task.field in ("images", "fraud", "medicine", "vehicles")
    assert task.provenance.endswith(".")
    full = type(task).full()
    assert full.epochs > type(task)().epochs
    with pytest.raises(BadInput, match=r"must be (at least 1|in 1 to 1000)"):
        replace(task, **{"images" if task.name == "digits-cnn" else "samples": 0})  # type: ignore[type-var]


def test_auroc_against_scikit_learn() -> None:
    rng = torch.Generator().manual_seed(0)
    for _ in range(20):
        scores = torch.randint(6, (40,), generator=rng).float()  # with ties
        y = torch.randint(2, (40,), generator=rng)
        assert auroc(scores, y) == pytest.approx(roc_auc_score(y, scores), abs=1e-12)


def test_figures_by_hand_and_none_where_a_label_is_absent() -> None:
    task = BreastCancer()
    logits = torch.tensor([[0.0, 3.0], [0.0, 1.0], [0.0, 2.0], [0.0, -1.0]])
    y = torch.tensor([1, 1, 0, 0])
    threat = replace(task.threat, goal=Evades(source=1, threshold=1.5))
    want = {"sensitivity": 0.5, "AUROC": 0.75, "false-positive rate": 0.5}
    assert task.judge(logits, y, threat) == want
    assert task.judge(logits[:2], y[:2], threat) == {"sensitivity": 0.5}


def test_a_share_of_each_batch_is_drawn_from_the_rare() -> None:
    y = torch.zeros(100, dtype=torch.long)
    y[:3] = 1
    split = Split(torch.arange(100.0)[:, None], y)
    loader = Loader(split, 20, 0, share=0.25)
    batches = list(loader)
    assert len(batches) == len(loader) == 7
    assert [int(labels.sum()) for _, labels in batches] == [5] * 7
    common = torch.cat([x[labels == 0] for x, labels in batches])
    assert sorted(common[:, 0].tolist()) == list(range(3, 100))


def test_what_a_fraudster_may_change() -> None:
    task = present(CardFraud())
    schema = task.threat.constraints
    assert isinstance(schema, Tabular)
    x, _ = task.held_out()
    up, down, half = x.clone(), x.clone(), x.clone()
    up[:, -1] += 1
    down[:, -1] = 0
    half[:, 20] += 0.5  # a component that is a whole number in this file
    assert not schema.hold(up, x).any()
    assert schema.hold(down, x).all()
    assert not schema.hold(half, x).any()
    for column, name in enumerate(schema.names[:-1]):
        moved = x.clone()
        moved[:, column] += 1
        assert bool(schema.hold(moved, x).all()) == (name in [f"V{k}" for k in range(15, 29)])


def test_the_public_csv_is_read_with_its_time_fixed_and_its_components_real(tmp_path: Path) -> None:
    file = tmp_path / "creditcard.csv"
    rows = np.random.default_rng(0).normal(size=(40, 31)).round(3)
    rows[:, 0], rows[:, -2], rows[:, -1] = np.arange(40), abs(rows[:, -2]), np.arange(40) % 4 == 0
    lines = [",".join(f'"{name}"' for name in COLUMNS)]
    lines += [",".join(map(str, row[:-1])) + f',"{int(row[-1])}"' for row in rows.tolist()]
    file.write_text("\n".join(lines))
    table = payments(file, 3)
    assert [len(split.y) for split in table[1:]] == [20, 8, 12]
    assert sum(int(split.y.sum()) for split in table[1:]) == 10
    changes = {feature.name: feature.change for feature in table.schema.features}
    movable = {"V26": "any", "V27": "any", "V28": "any", "Amount": "decrease"}
    assert {name: change for name, change in changes.items() if change != "none"} == movable
    file.write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="must have the columns Time, V1"):
        payments(file, 4)


def test_a_worst_measure_is_never_below_its_mean() -> None:
    task = BreastCancer()
    x, _ = task.held_out()
    schema = task.threat.constraints
    assert schema is not None
    broken = x.clone()
    broken[:, 0] = broken[:, 20] * 1.01
    assert not schema.hold(broken, x).any()
    assert schema.hold(x, x).all()


def test_photos_of_one_track_stay_together() -> None:
    task = TrafficSigns()
    present(task)
    with np.load(task._file) as found:
        x, y, track = found["X"], found["y"].astype(int), found["track"].astype(int)
    home = {photo.tobytes(): (int(k), int(t)) for photo, k, t in zip(x, y, track, strict=True)}
    tracks = []
    for split in signs(task._file, 43):
        photos = (split.x * 255).round().byte().numpy().transpose(0, 2, 3, 1)
        keys = [home[np.ascontiguousarray(photo).tobytes()] for photo in photos]
        assert [kind for kind, _ in keys] == split.y.tolist()
        tracks.append(set(keys))
    assert not tracks[0] & tracks[1]
    assert not (tracks[0] | tracks[1]) & tracks[2]
    assert sum(map(len, tracks)) == len({*home.values()})
    assert 2.5 < len(tracks[0]) / len(tracks[1]) < 3  # three of five, and whole tracks


def test_a_sticker_takes_what_a_faint_change_does_not() -> None:
    task = TrafficSigns(samples=40, kinds=4, side=12)
    present(task)
    model = task.model(0)
    optimizer = task.optimizer(model)
    for _ in range(3):
        for x, y in task.loader(0):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    clean = task.scores(model.eval(), "test")
    assert clean["accuracy with a sticker"] == clean["accuracy"] > 0.4
    attacked = task.under(model, PGD(steps=5, step_size=0.3))
    assert list(attacked) == ["accuracy with a sticker"]
    x, y = task.held_out()
    with torch.no_grad():
        held = float((model(x).argmax(1) == y).double().mean())
    assert attacked["accuracy with a sticker"] < held


@pytest.mark.parametrize(
    ("kind", "file"),
    [
        (TrafficSigns, "GTSRB_Final_Training_Images.zip"),
        (Pneumonia, "pneumoniamnist.npz"),
        (CardFraud, "creditcard.csv"),
    ],
)
def test_data_that_are_not_there(
    kind: Any, file: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GRADWARDEN_DATA", raising=False)
    with pytest.raises(MissingData, match=f"^not run: needs {file} .*from .*; give its path"):
        kind().loader(0)
    with pytest.raises(MissingData, match="needs elsewhere from"):
        kind(path="elsewhere").held_out()
    np.savez(tmp_path / "bad.npz", a=np.zeros(3))
    with pytest.raises(BadInput, match=r"must hold the arrays .*got .*a"):
        kind(path=str(tmp_path / "bad.npz")).held_out()


def test_fashion_wants_all_four_files(tmp_path: Path) -> None:
    (tmp_path / FASHION[0]).write_bytes(b"")
    with pytest.raises(MissingData, match=f"needs {FASHION[1]} from Debian"):
        FashionCNN(path=str(tmp_path)).held_out()


def test_the_sticker_is_a_threat_of_its_own() -> None:
    linf, patch = TrafficSigns().threat, TrafficSigns(attacker="patch", side=3).threat
    assert linf.ball.radius == pytest.approx(4 / 255)
    delta = torch.zeros(1, 3, 32, 32)
    delta[..., 4:7, 9:12] = 0.9
    assert patch.ball.size(delta).isfinite().all()
    delta[..., 8, 9] = 0.1
    assert patch.ball.size(delta).isinf().all()
