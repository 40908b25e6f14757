"""Every error of ours, as one small tree.

GradwardenError
├── BadInput          a value the caller can mend; the command line exits with 2
├── MissingExtra      an optional package is not installed; says which command installs it
├── MissingData       a data file is not on this machine; says which one and where it is from
├── NonFiniteGradient policy "raise", or more non-finite steps in a row than allowed
└── StoreError        an output folder cannot be used as asked: occupied, full, not writable
"""

from __future__ import annotations


class GradwardenError(Exception):
    """Root of the tree."""


class BadInput(GradwardenError, ValueError):
    """What was got, what was expected, how to mend it: one sentence."""


class MissingExtra(GradwardenError, ImportError):
    """An optional dependency is absent."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package {package!r}: pip install 'gradwarden[{extra}]'", name=package
        )
        self.package, self.extra = package, extra

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        # Errors cross processes by pickle, which would call this class with the sentence alone.
        return type(self), (self.package, self.extra)


class MissingData(GradwardenError, FileNotFoundError):
    """A file that a user must bring is absent; what needs it is not run, and the rest goes on."""

    def __init__(self, file: str, source: str) -> None:
        super().__init__(
            f"not run: needs {file} from {source}; give its path, or put it into the folder that "
            "GRADWARDEN_DATA names"
        )
        self.file, self.source = file, source

    def __reduce__(self) -> tuple[type[MissingData], tuple[str, str]]:
        return type(self), (self.file, self.source)


class NonFiniteGradient(GradwardenError, RuntimeError):
    """The gradient of a step was NaN or infinite, and the policy says to stop."""


class StoreError(GradwardenError, OSError):
    """Nothing was written over."""
