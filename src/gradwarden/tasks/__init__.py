"""Real data and small models that the comparison runs on."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.tasks.digits_cnn import DigitsCNN as DigitsCNN
    from gradwarden.tasks.lstm_text import LSTMText as LSTMText

__all__, __getattr__, __dir__ = lazy(__name__)
