"""C: a trained network as plain C99 with int8 weights, for microcontrollers, and its integer reference in NumPy."""
