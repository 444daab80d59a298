"""What strangers and tenants may try, with honest callers beside them."""
