"""Every claim put to the test on the same results."""

from __future__ import annotations

from gradwarden.compare.claims import (
    a1_attackable,
    b1_both_keep,
    b2_both_stand,
    c0_growth,
    c1_divergence,
    c2_rates,
    c3_speed,
    c4_quality,
    c5_essential,
    h2_control,
    h4_cost,
    k1_lower_rate,
    k2_same_accuracy,
    m1_followers,
    m2_security,
    m3_fields,
    s1_stands,
    s2_keeps,
)
from gradwarden.compare.picks import SECURE, TRAIN, Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

TRAINING = (c1_divergence, c2_rates, c3_speed, c4_quality, c5_essential)
ALONE = (m1_followers, m2_security)
TOGETHER = (b1_both_keep, b2_both_stand)


def judge(results: Results, picks: Picks, alike: str = "") -> dict[str, Answer]:
    """By id; `alike` is the purpose that both contenders serve, "" where they serve different ends."""
    found = [c0_growth.judge(results)] if alike != SECURE else []
    if alike != SECURE:
        found += [claim.judge(results, picks) for claim in TRAINING]
    if not alike:
        found.append(k1_lower_rate.judge(results, picks))
    if alike != TRAIN:
        found += [claim.judge(results, picks) for claim in (a1_attackable, *ALONE)]
    if not alike:
        found += [claim.judge(results, picks) for claim in (m3_fields, k2_same_accuracy)]
        found += [claim.judge(results, picks) for claim in (h2_control, h4_cost)]
    if alike == SECURE:
        found += [claim.judge(results, picks) for claim in (s1_stands, s2_keeps)]
    if alike != TRAIN:
        found += [claim.judge(results, picks) for claim in TOGETHER]
    answers = {answer.id: answer for answer in found}
    if c2_rates.ID in answers:
        answers[c2_rates.ID] = c2_rates.depends(answers)
    return answers
