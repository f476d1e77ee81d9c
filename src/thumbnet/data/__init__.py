"""DATA LOADER: where images come from, how they are split, and how batches are made of them."""
