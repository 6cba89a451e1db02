"""The tracking store: its names, texts, errors, addresses, locks and client. Free of torch."""
