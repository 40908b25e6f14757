"""`gradwarden tasks`."""


def tasks() -> None:
    """Tasks of the comparison; `gradwarden compare` runs lstm-text and digits-cnn unless told."""
    from gradwarden.cli.catalogue import entries, show

    show("Tasks", entries("tasks", "name"))
