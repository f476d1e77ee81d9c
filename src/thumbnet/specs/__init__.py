"""What a training is asked for, as frozen values that check themselves; without torch, so that a refusal takes no time.

A value's fields are a recipe's fields: whatever reads, writes or checks a recipe goes by them, so that a name is
spelled once.

Also how our files are read: tables, typed values, JSON without NaN.
"""
