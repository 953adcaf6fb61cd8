"""Labels that come later: which events wait for one, and what became of each."""
