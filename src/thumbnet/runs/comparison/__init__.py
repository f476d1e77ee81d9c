"""Finished runs compared on the same test images: runs, the seeds of recipes, folds."""
