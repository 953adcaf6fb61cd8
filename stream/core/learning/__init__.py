"""What learns: a model with its methods, its scores and its own way back."""
