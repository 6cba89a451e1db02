"""The tracking store: names in it, errors, texts, addresses, database, locks, recorder. Free of torch."""
