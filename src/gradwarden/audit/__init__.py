from gradwarden.core.lazy import lazy

__all__, __getattr__, __dir__ = lazy(__name__)
