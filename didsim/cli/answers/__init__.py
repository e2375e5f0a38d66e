"""How do the longer answers of commands read?  What a command prints and writes once the numbers are there."""
