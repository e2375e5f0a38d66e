"""One file per figure: a frozen config, a run that returns a labelled dataset, and verdicts with bounds."""
