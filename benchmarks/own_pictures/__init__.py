"""Sets of pictures such as people bring, made of what packages ship and of what is drawn; and two fixed baselines.

No picture of a set belongs into this repository: some are under licences that forbid it.
"""
