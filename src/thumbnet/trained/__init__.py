"""TRAINED MODELS: a network with its card, used on pictures and scored on data."""
