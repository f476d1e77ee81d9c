"""TRAINING: fit a model, with its schedule and optimizer; find a learning rate; resume exactly."""
