"""The report of one run, collected from what its folder keeps."""
