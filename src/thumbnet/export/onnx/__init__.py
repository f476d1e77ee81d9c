"""ONNX: graphs of a folded program, or PyTorch's own, checked in ONNX Runtime. `import onnx` is the package's."""
