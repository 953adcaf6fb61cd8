"""The fold of one partition: its step, its state, what it takes in."""
