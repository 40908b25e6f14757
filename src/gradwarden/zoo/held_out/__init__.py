"""The families that judge diagnostics: written from the papers, before any diagnostic was read."""
