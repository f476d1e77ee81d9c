"""TERMINAL: what people see: foreign text shown harmlessly, and streams that end nothing when they break."""
