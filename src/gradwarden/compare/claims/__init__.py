"""The claims under test, one a file; each says beforehand what would support and what refute it."""
