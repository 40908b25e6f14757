"""What makes a model masked, by hand."""

import pytest

from gradwarden.core.errors import BadInput
from gradwarden.zoo.definition import Entry
from gradwarden.zoo.known import accuracies, hides
from gradwarden.zoo.listing import short
from gradwarden.zoo.registry import entry


def test_fates_become_accuracies() -> None:
    clean, naive, best = accuracies("w" * 10 + "n" * 20 + "a" * 30 + "." * 40)
    assert (clean.value, naive.value, best.value) == (0.9, 0.7, 0.4)
    assert clean.n == naive.n == best.n == 100


@pytest.mark.parametrize(
    ("fates", "masked"),
    [
        ("a" * 30 + "." * 270, True),  # 10 points exactly
        ("a" * 29 + "." * 271, False),  # p is small enough, the gap is not
        ("a" * 10 + "." * 90, False),  # p = 2 / 2^10 = 0.00195
        ("a" * 11 + "." * 89, True),  # p = 2 / 2^11 = 0.00098
        ("n" * 300, False),
        ("." * 300, False),
    ],
)
def test_masked_needs_both_ten_points_and_significance(fates: str, masked: bool) -> None:
    assert hides(fates)[0] is masked


def test_the_p_value_is_the_exact_one() -> None:
    assert hides("a" * 11)[1] == pytest.approx(2 * 0.5**11)


def test_the_name_of_an_attack_is_short() -> None:
    text = "BPDA(attack=EOT(attack=PGD(steps=1, loss='margin'), draws=2), patches=(Surrogate(),))"
    assert short(text) == "BPDA of EOT of PGD, margin"
    assert short("") == ""


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(BadInput, match="the zoo has no 'nope'"):
        entry("nope")
    one = entry("digits-jpeg")
    fields = {name: getattr(one, name) for name in Entry.__dataclass_fields__}
    with pytest.raises(BadInput, match="half must be one of development, held-out, got 'left'"):
        Entry(**fields | {"half": "left"})
    with pytest.raises(BadInput, match="kind must be one of shattered"):
        Entry(**fields | {"kind": "odd"})
