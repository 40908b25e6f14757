"""`gradwarden tasks`."""


def tasks() -> None:
    """Tasks that `gradwarden compare` can run."""
    from gradwarden.cli.catalogue import entries, show

    show("Tasks", entries("tasks", "name"))
