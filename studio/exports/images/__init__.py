"""Pictures in the forms of other programs."""
