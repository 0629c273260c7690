"""What stands beside an exported decoder or generator: it imports nothing of the studio."""
