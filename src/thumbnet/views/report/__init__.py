"""The report: one HTML file about a run that needs no network and no other file."""
