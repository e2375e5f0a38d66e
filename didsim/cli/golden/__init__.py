"""Which numbers must a loss, and a world, give?  Files that any test-suite can read, and a check of somebody's own loss."""
