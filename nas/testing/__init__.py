"""A search without training: evaluations that are read from a table, for tests and benchmarks."""
