"""SERVER: a trained model behind HTTP, on this machine unless asked otherwise."""
