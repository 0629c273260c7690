"""What people say about the rows of a finished Dataset: out to Label Studio or a csv, back in, and into a new Dataset."""
