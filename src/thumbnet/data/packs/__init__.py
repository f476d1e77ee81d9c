"""Packs: decoded images in memory-mapped arrays on disk, kept by the user or in a cache."""
