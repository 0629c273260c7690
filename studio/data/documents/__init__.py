"""Documents as passages: what a person reads in a file, with the page and heading it stands under."""
