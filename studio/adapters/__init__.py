"""What is done with tuned weights, whatever they are: model cards, exports, saved settings; a room for each kind of model."""
