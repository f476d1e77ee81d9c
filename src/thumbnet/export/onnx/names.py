"""Names in an exported ONNX file. Without the package onnx."""

IMAGES, LOGITS, PROBABILITIES = "images", "logits", "probabilities"  # the graph's input and outputs
ANSWERS = "answers"  # a third output of models with a threshold or that may be unsure: the class that is answered
CARD = "thumbnet"  # the model's card in the metadata, by which a file is known as ours
