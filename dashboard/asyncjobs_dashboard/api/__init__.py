"""For programs: the same as the pages, as JSON, and numbers for Prometheus."""
