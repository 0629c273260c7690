"""Pages of web sites: fetched politely, kept by their hash, told page by page what came of them."""
