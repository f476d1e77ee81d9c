"""The names of an exported graph's input and outputs. Without the package onnx."""

IMAGES, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
