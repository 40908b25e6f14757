"""The families that diagnostics may be developed on; one file for each way to hide a gradient."""
