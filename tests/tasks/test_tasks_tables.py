"""The two tables: their splits, their features, and the relations that every row satisfies."""

import torch

from gradwarden.core.tabular import Tabular
from gradwarden.tasks.phishing import phishing
from gradwarden.tasks.thyroid import thyroid


def test_phishing_is_the_file() -> None:
    data = phishing()
    assert [len(split.y) for split in data[1:]] == [750, 150, 350]
    assert sum(int(split.y.sum()) for split in data[1:]) == 548
    x = torch.cat([split.x for split in data[1:]])
    assert x.dtype == torch.float32
    torch.testing.assert_close(x.mean(0)[[0, 8]], torch.tensor([2 * 0.63 - 1, 0.1136]))
    Tabular(features=data.features).check(x)
    assert [feature.name for feature in data.features][-2:] == ["age_of_domain", "ip_in_url"]
    for split in data[1:]:
        assert 0.4 < float(split.y.float().mean()) < 0.5  # shuffled


def test_thyroid_holds_its_relations() -> None:
    data = thyroid()
    splits = (data.train, data.validation, data.test)
    assert [len(split.y) for split in splits] == [4014, 574, 1147]
    table = Tabular(features=data.features, relations=data.relations)
    low, high = (torch.tensor(end) for end in table.box)
    for split in splits:
        table.check(split.x)
        assert ((split.x >= low) & (split.x <= high)).all()
        assert 0.26 < float(split.y.float().mean()) < 0.31
    panel = data.train.x[:, -5:]
    assert (panel[:, 4] - panel[:, 2] / panel[:, 3]).abs().median() < 0.5
    assert [feature.name for feature in data.features][-5:] == ["TSH", "T3", "TT4", "T4U", "FTI"]
