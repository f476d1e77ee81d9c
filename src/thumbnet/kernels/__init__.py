"""Our own kernels for training on a CPU: whole blocks fused, compiled for the processor at hand.

They give what PyTorch's give, up to rounding, and are never required: see `compiler`.
"""
