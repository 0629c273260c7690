"""What stands beside exported groups: it imports nothing of the studio."""
