"""Names in an exported ONNX file. Without the package onnx."""

IMAGES, LOGITS, PROBABILITIES = "images", "logits", "probabilities"  # the graph's input and outputs
CARD = "thumbnet"  # the model's card in the metadata, by which a file is known as ours
