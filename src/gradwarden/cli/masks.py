"""`gradwarden masks`."""


def masks() -> None:
    """Defences that hide gradients."""
    from gradwarden.cli.catalogue import entries, show

    show("Masks", entries("mask", "defend", "fit"))
