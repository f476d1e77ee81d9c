"""Names in an exported ONNX file. Without the package onnx."""

IMAGES, LOGITS, PROBABILITIES = "images", "logits", "probabilities"  # the graph's input and outputs
ANSWERS = "answers"  # a third output of models that do not always answer with the likeliest class
DISTANCES = "distances"  # a fourth one of models with the answer "unknown": to the nearest class's mean, in deviations
FEATURES = "features"  # in the graph of a network of blocks, no output: what its head sees
CARD = "thumbnet"  # the model's card in the metadata, by which a file is known as ours
