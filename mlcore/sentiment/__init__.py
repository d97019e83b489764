"""Exercise 5 at scale: the sentiment classifier, its training, its evaluation and its file."""
