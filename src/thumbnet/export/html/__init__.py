"""A trained model as one HTML file that works offline: its engine, its weights, its page."""
