"""Tables: rows with named columns, one of which is predicted from others."""
