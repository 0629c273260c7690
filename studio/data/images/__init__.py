"""Recipe -> Dataset of pictures: sources, a look at every picture, steps, leak-free split, contact sheet."""
