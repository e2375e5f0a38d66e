"""Pictures of datasets: arrays in, axes out.  Nothing here computes a result or knows the mathematics."""
