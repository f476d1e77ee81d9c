"""A run's folder: the names of its files, what they hold, and how they are kept whole."""
