"""What didsim is measured against: a loop in C, loops in PyTorch, sums in NumPy.  A checkout has them, a wheel does not."""
