"""EVALUATION: predictions and the metrics computed from them."""
