"""`gradwarden attacks`."""


def attacks() -> None:
    """Attacks that look for adversarial points."""
    from gradwarden.cli.catalogue import entries, show

    show("Attacks", entries("attack", "run"))
