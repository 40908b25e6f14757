"""What may stand in for a module, or a model, whose own gradient is hidden."""
