"""Real data and small models that the comparison runs on."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.tasks.breast_cancer import BreastCancer as BreastCancer
    from gradwarden.tasks.card_fraud import CardFraud as CardFraud
    from gradwarden.tasks.cartpole_ppo import CartPolePPO as CartPolePPO
    from gradwarden.tasks.demand_forecast import DemandForecast as DemandForecast
    from gradwarden.tasks.digits_cnn import DigitsCNN as DigitsCNN
    from gradwarden.tasks.fashion_cnn import FashionCNN as FashionCNN
    from gradwarden.tasks.gpt_text import GPTText as GPTText
    from gradwarden.tasks.lane_keeping import LaneKeeping as LaneKeeping
    from gradwarden.tasks.loader import Loader as Loader
    from gradwarden.tasks.loader import Split as Split
    from gradwarden.tasks.lstm_text import LSTMText as LSTMText
    from gradwarden.tasks.lunarlander_ppo import LunarLanderPPO as LunarLanderPPO
    from gradwarden.tasks.motion_classify import MotionClassify as MotionClassify
    from gradwarden.tasks.phishing_sites import PhishingSites as PhishingSites
    from gradwarden.tasks.pneumonia import Pneumonia as Pneumonia
    from gradwarden.tasks.rnn_temporal_order import RNNTemporalOrder as RNNTemporalOrder
    from gradwarden.tasks.task import Metric as Metric
    from gradwarden.tasks.task import SecurityTask as SecurityTask
    from gradwarden.tasks.task import TrainingTask as TrainingTask
    from gradwarden.tasks.thyroid_panel import ThyroidPanel as ThyroidPanel
    from gradwarden.tasks.traffic_signs import TrafficSigns as TrafficSigns

__all__, __getattr__, __dir__ = lazy(__name__)
