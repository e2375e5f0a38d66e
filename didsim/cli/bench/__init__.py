"""How fast is it, against what one would write otherwise?  Ours and a rival in one run on one machine, as ratios."""
