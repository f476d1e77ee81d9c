"""MODEL: networks under 200,000 parameters that map normalised images [N,C,H,W] to logits [N,K]."""
