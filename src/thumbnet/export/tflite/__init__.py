"""EXPORTS: a trained model written so that it works elsewhere, and checked before it is put in place."""
