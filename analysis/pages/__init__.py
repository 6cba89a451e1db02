"""The pages: HTML, its words, and where it is written."""
