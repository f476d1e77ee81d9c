"""The model card that goes with every export: model-card.md, as the Hugging Face Hub reads it. Without PyTorch."""
