"""How fast lists get into the store and out of it, beside peers in the same run, and what breaks: `make bench-serving`."""
