"""The tree of errors, and that each crosses a process boundary whole."""

import pickle

import pytest

from gradwarden.core.errors import (
    BadInput,
    GradwardenError,
    MissingData,
    MissingExtra,
    NonFiniteGradient,
    StoreError,
)

ERRORS = [
    (BadInput("a"), ValueError),
    (MissingExtra("mlxtend", "tasks"), ImportError),
    (MissingData("b.npz", "https://b"), FileNotFoundError),
    (NonFiniteGradient("b"), RuntimeError),
    (StoreError("c"), OSError),
]


@pytest.mark.parametrize(("error", "builtin"), ERRORS, ids=repr)
def test_one_root_and_the_builtin_that_callers_expect(
    error: GradwardenError, builtin: type[Exception]
) -> None:
    assert isinstance(error, GradwardenError)
    assert isinstance(error, builtin)


@pytest.mark.parametrize(("error", "_"), ERRORS, ids=repr)
def test_pickled_and_back(error: GradwardenError, _: object) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_a_missing_extra_says_what_to_install() -> None:
    error = MissingExtra("mlxtend", "tasks")
    assert str(error) == "this needs the package 'mlxtend': pip install 'gradwarden[tasks]'"
    assert error.name == "mlxtend"


def test_missing_data_say_which_file_and_from_where() -> None:
    error = MissingData("b.npz", "https://b")
    assert str(error).startswith("not run: needs b.npz from https://b; give its path")
    assert (error.file, error.source) == ("b.npz", "https://b")
