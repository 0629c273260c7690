"""Models of time series: what they take, how they are fitted, kept and opened."""
