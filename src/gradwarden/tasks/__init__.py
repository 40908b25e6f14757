"""Real data and small models that the comparison runs on."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.tasks.demand_forecast import DemandForecast as DemandForecast
    from gradwarden.tasks.digits_cnn import DigitsCNN as DigitsCNN
    from gradwarden.tasks.gpt_text import GPTText as GPTText
    from gradwarden.tasks.lstm_text import LSTMText as LSTMText
    from gradwarden.tasks.motion_classify import MotionClassify as MotionClassify
    from gradwarden.tasks.rnn_temporal_order import RNNTemporalOrder as RNNTemporalOrder
    from gradwarden.tasks.task import Metric as Metric
    from gradwarden.tasks.task import SecurityTask as SecurityTask
    from gradwarden.tasks.task import TrainingTask as TrainingTask

__all__, __getattr__, __dir__ = lazy(__name__)
