"""How good and how fast: the judge of published lists, the time of each stage, the peak of memory."""
