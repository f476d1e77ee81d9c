"""One recipe trained with several seeds: the folder of these runs, their figures and their report."""
