"""BENCH: how fast this machine is: its matrix products, the models forward and in training, what the recipes take."""
