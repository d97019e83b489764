"""Files that are installed with mlcore: the built-in corpus and the numbers of exercise 1."""
