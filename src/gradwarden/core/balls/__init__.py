"""One ball a file."""
