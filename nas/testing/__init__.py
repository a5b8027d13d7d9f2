"""An evaluation that reads a table, for tests and benchmarks."""
