"""Faults made on purpose, and what thumbnet does of each: see bench_trust.py."""
