"""Several workers on one machine: started, watched, started again, drained."""
