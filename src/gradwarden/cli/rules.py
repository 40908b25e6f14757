"""`gradwarden rules`."""


def rules() -> None:
    """Rules of gradient clipping: what decides the threshold of a step."""
    from gradwarden.cli.catalogue import entries, show

    show("Clipping rules", entries("clip", "step"))
