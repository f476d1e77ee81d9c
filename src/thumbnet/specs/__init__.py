"""What can be chosen by name, and values that say what is to be done; nothing here imports torch."""
