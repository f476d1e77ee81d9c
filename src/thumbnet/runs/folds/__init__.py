"""One recipe trained once for each fold: the folder of these runs, its figures and its report."""
