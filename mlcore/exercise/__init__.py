"""Exercise 1: small networks worked by hand, exactly, with what is true at a kink."""
