"""SWEEP: trainings of one recipe with values proposed by Optuna, compared on validation images."""
