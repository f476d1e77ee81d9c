"""Several jobs at once, in processes of this machine or on a Dask cluster: each by its name, and who dies is told."""
