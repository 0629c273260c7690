"""Training of image models: a Dataset of pictures and a preset become a Run."""
