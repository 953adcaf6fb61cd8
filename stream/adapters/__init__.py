"""One outside thing each: they translate types and errors, nothing else."""
