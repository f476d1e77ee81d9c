"""DATA CHECK: wrong labels, duplicates, outliers, dark, bright and flat images of a dataset."""
