"""CPython's own tests of its servers, run with the mix-in in them."""
