"""The loop that keeps a model good: watching what it is asked and says, and improving it round by round."""
