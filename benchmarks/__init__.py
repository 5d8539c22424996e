"""What we measure, against whom, and the last numbers with their conditions (``python -m benchmarks``)."""
