"""Small trained models whose true robustness is known: masked ones and honest ones."""

from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from gradwarden.zoo.definition import Entry as Entry
    from gradwarden.zoo.judge import judge as judge
    from gradwarden.zoo.known import Answers as Answers
    from gradwarden.zoo.registry import entry as entry
    from gradwarden.zoo.registry import names as names
    from gradwarden.zoo.retrain import Retrained as Retrained
    from gradwarden.zoo.retrain import retrain as retrain
    from gradwarden.zoo.store import answers as answers
    from gradwarden.zoo.store import data as data
    from gradwarden.zoo.store import load as load
    from gradwarden.zoo.store import train as train
    from gradwarden.zoo.store import witnesses as witnesses

__all__, __getattr__, __dir__ = lazy(__name__)
