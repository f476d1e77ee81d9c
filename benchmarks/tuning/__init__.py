"""Parts of tune_minutes.py."""
