"""The tasks classify and regress: for every key a probability, or a number, of the days to come."""
