"""Who acts together: evidence on the request path, and clusters made from it in the background."""
