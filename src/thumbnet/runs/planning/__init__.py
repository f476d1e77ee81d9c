"""The plan of a training that is given minutes: what is known of the data, what was measured, and what follows."""
