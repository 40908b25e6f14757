"""The nets as they are stored: plain PyTorch modules, by number; `build()` makes one, untrained.

Nothing here imports the rest of the package, and no name says what a net is. Which is which stands
in `zoo.registry`.
"""
