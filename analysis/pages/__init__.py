"""The pages as HTML, with their words and templates."""
