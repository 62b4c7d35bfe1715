"""asyncjobs beside its peers, on the same machine and the same Redis: `python -m benchmarks`."""
