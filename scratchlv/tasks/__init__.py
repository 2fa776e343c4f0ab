"""Tasks: what ties data, a model and the trainer together into a run that can be trained, evaluated and used."""
