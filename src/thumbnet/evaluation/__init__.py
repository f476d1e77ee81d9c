"""EVALUATION: predictions and the figures made from them."""
