"""Pages for people: what the data look like, and how good the lists are. Plain numbers in, self-contained HTML out."""
