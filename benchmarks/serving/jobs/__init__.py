"""What the benchmark runs through spark-submit, or in an interpreter of its own."""
